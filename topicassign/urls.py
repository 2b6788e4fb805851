"""All addresses of the product; each app names its own. Every one but those marked asks to sign in."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path
from django.utils.translation import gettext_lazy as _

from projects.views.preferences import SignInView
from topicassign import health, views

admin.site.site_header = admin.site.site_title = _("TopicAssign administration")
admin.site.index_title = _("Operate")

urlpatterns = [
    path("", include("projects.urls")),
    path("", include("topics.urls")),
    path("", include("rows.urls")),
    path("", include("finetune.urls")),
    path("login/", SignInView.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("password/change/", auth.PasswordChangeView.as_view(), name="password_change"),
    path("password/change/done/", auth.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("password/reset/", auth.PasswordResetView.as_view(), name="password_reset"),
    path("password/reset/sent/", auth.PasswordResetDoneView.as_view(), name="password_reset_done"),
    path(
        "password/reset/<uidb64>/<token>/",
        auth.PasswordResetConfirmView.as_view(),
        name="password_reset_confirm",
    ),
    path("password/reset/done/", auth.PasswordResetCompleteView.as_view(), name="password_reset_complete"),
    path("admin/", admin.site.urls),
    path("health/", health.health, name="health"),
    path("robots.txt", views.robots_txt, name="robots_txt"),
    path("favicon.ico", views.favicon, name="favicon"),
]

handler400 = "topicassign.views.bad_request"
handler403 = "topicassign.views.permission_denied"
handler404 = "topicassign.views.page_not_found"
handler500 = "topicassign.views.server_error"
