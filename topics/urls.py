from django.urls import path

from topics import views
from topics import views_codebook as codebook
from topics import views_keywords as keywords
from topics import views_learning as learning
from topics import views_many as many
from topics import views_merging as merging
from topics import views_splitting as splitting
from topics import views_tidying as tidying

app_name = "topics"
urlpatterns = [
    path("columns/<int:column_id>/topics/", views.topic_collection, name="list"),
    path("columns/<int:column_id>/topics/from/", codebook.ways, name="ways"),
    path("columns/<int:column_id>/topics/from/templates/", codebook.templates, name="templates"),
    path("columns/<int:column_id>/topics/from/templates/<slug:key>/", codebook.template, name="template"),
    path("columns/<int:column_id>/topics/from/project/", codebook.from_project, name="from_project"),
    path("columns/<int:column_id>/topics/new/", views.topic_create, name="topic_create"),
    path("columns/<int:column_id>/topics/place/", many.topics_place, name="topics_place"),
    path("columns/<int:column_id>/topics/move/", many.topics_move, name="topics_move"),
    path("columns/<int:column_id>/topics/merge/", many.topics_merge, name="topics_merge"),
    path("columns/<int:column_id>/topics/merge/preview/", many.merge_many_preview, name="merge_many_preview"),
    path("columns/<int:column_id>/topics/delete/", many.topics_delete, name="topics_delete"),
    path("topics/<int:topic_id>/", views.topic_edit, name="topic_edit"),
    path("topics/<int:topic_id>/rename/", views.topic_rename, name="topic_rename"),
    path("topics/<int:topic_id>/delete/", views.topic_delete, name="topic_delete"),
    path("topics/<int:topic_id>/merge/", merging.topic_merge, name="topic_merge"),
    path("topics/<int:topic_id>/merge/preview/", merging.merge_preview, name="merge_preview"),
    path("topics/<int:topic_id>/split/", splitting.topic_split, name="topic_split"),
    path("topics/<int:topic_id>/split/rows/", splitting.split_rows, name="split_rows"),
    path("topics/<int:topic_id>/split/preview/", splitting.split_preview, name="split_preview"),
    path("columns/<int:column_id>/topics/keywords/", keywords.keywords_preview, name="keywords_preview"),
    path("columns/<int:column_id>/topics/tidy/", tidying.tidy, name="tidy"),
    path("columns/<int:column_id>/topics/tidy/distinct/", tidying.pair_mark, name="pair_mark"),
    path("columns/<int:column_id>/learning/", learning.learning, name="learning"),
    path("columns/<int:column_id>/learning/preview/", learning.learning_preview, name="learning_preview"),
    path("columns/<int:column_id>/categories/new/", views.category_create, name="category_create"),
    path("categories/<int:category_id>/", views.category_edit, name="category_edit"),
    path("categories/<int:category_id>/rename/", views.category_rename, name="category_rename"),
    path("categories/<int:category_id>/move/", views.category_move, name="category_move"),
    path("categories/<int:category_id>/delete/", views.category_delete, name="category_delete"),
    path("columns/<int:column_id>/codebook/", codebook.codebook_export, name="codebook_export"),
    path("columns/<int:column_id>/codebook/import/", codebook.codebook_import, name="codebook_import"),
    path("columns/<int:column_id>/codebook/apply/", codebook.codebook_apply, name="codebook_apply"),
]
