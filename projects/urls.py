from django.urls import path

from projects.views import history, jobs, members, preferences, projects

app_name = "projects"
urlpatterns = [
    path("", projects.project_list, name="list"),
    path("projects/deleted/", projects.project_deleted_list, name="deleted"),
    path("projects/<int:project_id>/", projects.project_detail, name="detail"),
    path("projects/<int:project_id>/numbers/", projects.project_numbers, name="numbers"),
    path("projects/<int:project_id>/settings/", projects.project_settings, name="settings"),
    path("projects/<int:project_id>/delete/", projects.project_delete, name="delete"),
    path("projects/<int:project_id>/restore/", projects.project_restore, name="restore"),
    path("projects/<int:project_id>/history/", history.project_history, name="history"),
    path("projects/<int:project_id>/members/", members.member_list, name="members"),
    path("projects/<int:project_id>/leave/", members.member_leave, name="member_leave"),
    path("projects/<int:project_id>/members/<int:member_id>/role/", members.member_role, name="member_role"),
    path("projects/<int:project_id>/members/<int:member_id>/remove/", members.member_remove, name="member_remove"),
    path("projects/<int:project_id>/members/<int:member_id>/owner/", members.member_owner, name="member_owner"),
    path("projects/<int:project_id>/invitations/", members.invitation_create, name="invitation_create"),
    path(
        "projects/<int:project_id>/invitations/<int:invitation_id>/revoke/",
        members.invitation_revoke,
        name="invitation_revoke",
    ),
    path("invitations/<str:token>/", members.invitation_accept, name="invitation_accept"),
    path("changes/<int:change_id>/undo/", history.change_undo, name="change_undo"),
    path("jobs/<uuid:job_id>/", jobs.job_detail, name="job_detail"),
    path("jobs/<uuid:job_id>/cancel/", jobs.job_cancel, name="job_cancel"),
    path("jobs/<uuid:job_id>/retry/", jobs.job_retry, name="job_retry"),
    path("language/", preferences.language, name="language"),
    path("shortcuts/", preferences.shortcuts, name="shortcuts"),
    path("status/", jobs.work_waiting, name="work_waiting"),
]
