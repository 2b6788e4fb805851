import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "topicassign.settings")
application = get_wsgi_application()

# All views and their libraries are loaded now, not with the first request, and left out of garbage collection:
# looking through their half a million objects again and again would hold up a page every few requests.
get_resolver().url_patterns  # noqa: B018
gc.collect()
gc.freeze()
