"""The Celery application: `celery -A topicassign worker`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "topicassign.settings")
app = Celery("topicassign")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
