"""What runs in the background for rows: imports, exports, and tidying up after them."""

from __future__ import annotations

from projects.jobs import job_handler
from projects.models import JobKind
from projects.tasks import chore
from rows.bulk.deletion import rows_purge
from rows.services import bulk, exports, import_job, imports

job_handler(JobKind.IMPORT, clean_up=import_job.import_clean_up)(import_job.import_run)
job_handler(JobKind.EXPORT, clean_up=exports.export_clean_up)(exports.export_run)
job_handler(JobKind.BULK, clean_up=bulk.bulk_clean_up)(bulk.bulk_run)
chore(imports.uploads_purge)
chore(exports.exports_purge)
chore(rows_purge)
