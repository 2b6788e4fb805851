from django.urls import path

from finetune import views

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
]
