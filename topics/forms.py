"""Input about topics, categories and codebooks made into clean values; what is allowed the services decide."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from projects.models import Column
from topicassign.errors import ApplicationError
from topics.forms_keywords import KeywordsField
from topics.models import CATEGORY_CHARS, DESCRIPTION_CHARS, LABEL_CHARS, PALETTE, Category, Topic
from topics.selectors import category_list, most_have_sentiment
from topics.services.base import CODE_FIELDS, MAX_CODE, SENTIMENT_LABEL_FIELDS, next_color
from topics.services.topics import FIELDS

NEW_CATEGORY = "new"


class ServiceForm(forms.Form):
    """A form that shows what a service refuses beside the field it is about."""

    def refuse(self, error: ApplicationError) -> None:
        """Add a broken rule to the form; conflicts and missing things are for the error handler."""
        if error.status != 422:
            raise error
        field = error.extra.get("field", "")
        self.add_error(field if field in self.fields else None, error.message)

    def focus_error(self) -> None:
        """Let the dialog come back with the cursor in the first field that is wrong."""
        wrong = next((name for name in self.fields if name in self.errors), None)
        if wrong is not None:
            for field in self.fields.values():
                field.widget.attrs.pop("autofocus", None)
            self.fields[wrong].widget.attrs["autofocus"] = True


class CategoryChoiceForm(ServiceForm):
    """A form that asks for a category, or for the name of a new one."""

    category = forms.ChoiceField(label=_("Category"))
    new_category = forms.CharField(
        label=_("Name of the new category"),
        max_length=CATEGORY_CHARS,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, data: Any = None, *, column: Column) -> None:
        self.categories = {str(one.pk): one for one in category_list(column=column)}
        super().__init__(data, initial=self.first_values(column))
        choices = [(pk, one.label) for pk, one in self.categories.items()]
        self.fields["category"].choices = [*choices, (NEW_CATEGORY, _("New category…"))]  # type: ignore[attr-defined]

    def first_values(self, column: Column) -> dict[str, Any]:
        """Return what the fields say before the person has said anything; `categories` are known by then."""
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("category") == NEW_CATEGORY and not (cleaned.get("new_category") or "").strip():
            self.add_error("new_category", _("Give the category a name."))
        return cleaned

    @property
    def chosen_category(self) -> Category | str:
        """Return the category, or the name of the one to add."""
        chosen = self.cleaned_data["category"]
        return self.cleaned_data["new_category"] if chosen == NEW_CATEGORY else self.categories[chosen]


class TopicForm(CategoryChoiceForm):
    """Everything a person may set of a topic. Without `topic` it adds one."""

    field_order = ("label", "category", "new_category")

    label = forms.CharField(
        label=_("Topic"),
        max_length=LABEL_CHARS,
        error_messages={"required": _("Give the topic a name.")},
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
    )
    description = forms.CharField(
        label=_("Description"),
        max_length=DESCRIPTION_CHARS,
        required=False,
        help_text=_("What belongs to this topic and what does not. The AI reads it."),
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    keywords = KeywordsField()
    sentiment_enabled = forms.BooleanField(
        label=_("Sentiment"), required=False, widget=forms.CheckboxInput(attrs={"role": "switch"})
    )
    label_positive = forms.CharField(label=_("Positive"), max_length=LABEL_CHARS, required=False)
    label_neutral = forms.CharField(label=_("Neutral"), max_length=LABEL_CHARS, required=False)
    label_negative = forms.CharField(label=_("Negative"), max_length=LABEL_CHARS, required=False)
    code_neutral = forms.IntegerField(label=_("Code"), min_value=0, max_value=MAX_CODE, required=False)
    code_positive = forms.IntegerField(label=_("Code, positive"), min_value=0, max_value=MAX_CODE, required=False)
    code_negative = forms.IntegerField(label=_("Code, negative"), min_value=0, max_value=MAX_CODE, required=False)
    version = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)
    confirm_off = forms.BooleanField(required=False)
    confirm_unreview = forms.BooleanField(required=False)

    def __init__(
        self, data: Any = None, *, column: Column, topic: Topic | None = None, category: int | None = None
    ) -> None:
        self.topic = topic
        self.wanted = str(category)
        super().__init__(data, column=column)
        self.fields["keywords"].stored = topic.keywords if topic is not None else []  # type: ignore[attr-defined]

    def first_values(self, column: Column) -> dict[str, Any]:
        topic = self.topic
        if topic is not None:
            values = {name: getattr(topic, name) for name in FIELDS if name != "category"}
            return {**values, "category": str(topic.category_id), "version": topic.version}
        chosen = self.wanted if self.wanted in self.categories else next(iter(self.categories), NEW_CATEGORY)
        return {"category": chosen, "sentiment_enabled": most_have_sentiment(column)}

    def values(self) -> dict[str, Any]:
        """Return what the services take."""
        data = self.cleaned_data
        names = ["label", "description", "sentiment_enabled", *SENTIMENT_LABEL_FIELDS, *CODE_FIELDS]
        if "keywords" in self.data:  # pickers, which add a topic by its name, have no field for them
            names.append("keywords")
        return {**{name: data[name] for name in names}, "category": self.chosen_category}


class MergeForm(ServiceForm):
    """What becomes of a topic and another one: one goes into the other, or both become one with sentiment."""

    target = forms.ChoiceField(
        label=_("With which topic?"),
        error_messages={"required": _("Choose the other topic."), "invalid_choice": _("This topic was deleted.")},
        widget=forms.Select(attrs={"autofocus": True}),
    )
    how = forms.ChoiceField(
        label=_("What shall become of them?"),
        choices=[("merge", _("Merge")), ("combine", _("Combine"))],
        initial="merge",
        widget=forms.RadioSelect,
    )
    side = forms.ChoiceField(
        choices=[("positive", _("positive")), ("negative", _("negative"))], initial="positive", required=False
    )
    label = forms.CharField(
        label=_("Name of the new topic"),
        max_length=LABEL_CHARS,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    unsaid = forms.ChoiceField(
        choices=[("neutral", ""), ("propose", "")], initial="neutral", required=False, widget=forms.RadioSelect
    )
    version = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)
    target_version = forms.CharField(required=False, max_length=32)

    def __init__(self, data: Any = None, *, topic: Topic) -> None:
        self.topic = topic
        self.others: dict[str, Topic] = {}
        choices: list[tuple[Any, Any]] = [("", _("Choose a topic"))]
        for category in category_list(column=topic.column):
            own = [one for one in category.topics.all() if one.pk != topic.pk]
            self.others |= {str(one.pk): one for one in own}
            if own:
                choices.append((category.label, [(str(one.pk), one.label) for one in own]))
        super().__init__(data, initial={"version": topic.version, "label": topic.label[:LABEL_CHARS]})
        self.fields["target"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("how") == "combine" and not (cleaned.get("label") or "").strip():
            self.add_error("label", _("Give the new topic a name."))
        return cleaned

    @property
    def other(self) -> Topic:
        return self.others[self.cleaned_data["target"]]

    @property
    def is_combination(self) -> bool:
        return bool(self.cleaned_data["how"] == "combine")

    def sides(self) -> tuple[Topic, Topic]:
        """Return the topics that become the positive version and the negative one."""
        is_turned = self.cleaned_data["side"] == "negative"
        return (self.other, self.topic) if is_turned else (self.topic, self.other)

    def expected(self) -> dict[int, str] | None:
        """Return the versions of both topics that the person saw."""
        seen = {self.topic.pk: self.cleaned_data["version"], self.other.pk: self.cleaned_data["target_version"]}
        return {pk: version for pk, version in seen.items() if version} or None


class CategoryForm(ServiceForm):
    """Name and colour of a category; a colour of one's own is a hex value."""

    label = forms.CharField(
        label=_("Category"),
        max_length=CATEGORY_CHARS,
        error_messages={"required": _("Give the category a name.")},
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
    )
    color = forms.ChoiceField(label=_("Colour"), required=False)
    own_color = forms.CharField(label=_("Own colour"), required=False, max_length=7)
    version = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, column: Column, category: Category | None = None) -> None:
        color = category.color if category else next_color(column)
        is_own = color not in PALETTE
        initial = {
            "label": category.label if category else "",
            "color": "own" if is_own else color,
            "own_color": color if is_own else "#3366cc",
            "version": category.version if category else "",
        }
        super().__init__(data, initial=initial)
        self.fields["color"].choices = [*((name, name) for name in PALETTE), ("own", _("Own"))]  # type: ignore[attr-defined]

    def values(self) -> dict[str, Any]:
        data = self.cleaned_data
        color = data["own_color"] if data["color"] == "own" else data["color"]
        return {"label": data["label"], "color": color}


class RenameForm(forms.Form):
    """A new name, typed in place."""

    label = forms.CharField(required=False, max_length=500)
    version = forms.CharField(required=False, max_length=32)


class CodebookForm(ServiceForm):
    """A codebook file."""

    file = forms.FileField(
        label=_("Codebook"),
        error_messages={
            "required": _("Choose a file, or drop one on the field."),
            "missing": _("Choose a file, or drop one on the field."),
            "empty": _("The file is empty. Choose a file with a header line and topics."),
        },
    )
