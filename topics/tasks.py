"""What runs in the background for topics."""

from __future__ import annotations

from projects.jobs import job_handler
from projects.models import JobKind
from topics.services import background

job_handler(JobKind.TOPICS, clean_up=background.topics_clean_up)(background.topics_run)
