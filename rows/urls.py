from django.urls import path

from rows.views import browser, bulk, exports, focus, imports, options, sidebar

app_name = "rows"

urlpatterns = [
    path("columns/<int:column_id>/", browser.browser, name="browser"),
    path("columns/<int:column_id>/rows/", browser.chunk, name="chunk"),
    path("columns/<int:column_id>/rows/count/", browser.count, name="count"),
    path("columns/<int:column_id>/view-options/", options.view_options, name="view_options"),
    path("columns/<int:column_id>/results/", browser.results, name="results"),
    path("columns/<int:column_id>/statistics/", browser.statistics_tab, name="statistics"),
    path("columns/<int:column_id>/undo/", sidebar.undo_last, name="undo_last"),
    path("columns/<int:column_id>/rows/<int:verbatim_id>/", sidebar.verbatim, name="verbatim"),
    path(
        "columns/<int:column_id>/rows/<int:verbatim_id>/review/", sidebar.verbatim_review, name="verbatim_review"
    ),
    path(
        "columns/<int:column_id>/rows/<int:verbatim_id>/unreview/",
        sidebar.verbatim_unreview,
        name="verbatim_unreview",
    ),
    path(
        "columns/<int:column_id>/rows/<int:verbatim_id>/highlight/",
        sidebar.verbatim_highlight,
        name="verbatim_highlight",
    ),
    path("columns/<int:column_id>/bulk/", bulk.bulk_dialog, name="bulk_dialog"),
    path("columns/<int:column_id>/bulk/count/", bulk.bulk_count, name="bulk_count"),
    path("columns/<int:column_id>/bulk/preview/", bulk.bulk_preview, name="bulk_preview"),
    path("columns/<int:column_id>/bulk/run/", bulk.bulk_run, name="bulk_run"),
    path("columns/<int:column_id>/bulk/status/", bulk.bulk_status, name="bulk_status"),
    path("columns/<int:column_id>/focus/", focus.focus, name="focus"),
    path("columns/<int:column_id>/focus/review/", focus.focus_review, name="focus_review"),
    path("columns/<int:column_id>/focus/palette/", focus.palette, name="focus_palette"),
    path("columns/<int:column_id>/focus/undo/", focus.focus_undo, name="focus_undo"),
    path("columns/<int:column_id>/focus/release/", focus.focus_release, name="focus_release"),
    path("import/", imports.import_upload, name="import_upload"),
    path("import/<int:upload_id>/organise/", imports.import_organise, name="import_organise"),
    path("import/<int:upload_id>/sheet/", imports.import_sheet, name="import_sheet"),
    path("import/<int:upload_id>/settings/", imports.import_settings, name="import_settings"),
    path("import/<int:upload_id>/check/", imports.import_check, name="import_check"),
    path("import/<int:upload_id>/bad-cells.csv", imports.import_bad_cells, name="import_bad_cells"),
    path("import/<int:upload_id>/cancel/", imports.import_cancel, name="import_cancel"),
    path("columns/<int:column_id>/export/", exports.export, name="export"),
    path("columns/<int:column_id>/exports/", exports.export_list, name="export_list"),
    path("exports/<uuid:job_id>/download/", exports.export_download, name="export_download"),
]
