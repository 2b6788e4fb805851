from django.urls import path

from finetune import views
from finetune import views_proposals as proposals

app_name = "finetune"

urlpatterns = [
    path("columns/<int:column_id>/ai/", views.ai_status, name="ai_status"),
    path("columns/<int:column_id>/ai/score/", views.ai_score, name="ai_score"),
    path("columns/<int:column_id>/ai/switch/", views.ai_switch, name="ai_switch"),
    path("columns/<int:column_id>/ai/update/", views.ai_update, name="ai_update"),
    path(
        "columns/<int:column_id>/rows/<int:verbatim_id>/topics/<int:topic_id>/why/",
        views.assignment_why,
        name="assignment_why",
    ),
    path("columns/<int:column_id>/proposals/", proposals.proposals, name="proposals"),
    path("columns/<int:column_id>/proposals/start/", proposals.proposals_start, name="proposals_start"),
    path("columns/<int:column_id>/proposals/accept/", proposals.proposals_accept, name="proposals_accept"),
    path("columns/<int:column_id>/proposals/choose/", proposals.proposals_choose, name="proposals_choose"),
    path("columns/<int:column_id>/proposals/name/", proposals.proposals_name, name="proposals_name"),
    path(
        "columns/<int:column_id>/proposals/category/",
        proposals.proposals_rename_category,
        name="proposals_rename_category",
    ),
    path(
        "columns/<int:column_id>/proposals/discard/",
        proposals.proposals_discard_all,
        name="proposals_discard_all",
    ),
    path(
        "columns/<int:column_id>/proposals/<int:proposal_id>/", proposals.proposal_update, name="proposal_update"
    ),
    path(
        "columns/<int:column_id>/proposals/<int:proposal_id>/discard/",
        proposals.proposal_discard,
        name="proposal_discard",
    ),
    path(
        "columns/<int:column_id>/proposals/<int:proposal_id>/merge/",
        proposals.proposal_merge,
        name="proposal_merge",
    ),
    path(
        "columns/<int:column_id>/proposals/<int:proposal_id>/separate/",
        proposals.proposal_separate,
        name="proposal_separate",
    ),
]
