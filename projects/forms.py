"""Input about projects and people made into clean values."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.forms import BaseUserCreationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from projects.models import Member, Project, Role

MAX_TAGS = 20
TAG_CHARS = 50


class TagsField(forms.CharField):
    """Tags separated by commas, as a list without repetitions (ignoring case)."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("help_text", _("Separated by commas, at most 20."))
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        found: dict[str, str] = {}
        for part in (super().to_python(value) or "").split(","):
            tag = " ".join(part.split())
            if tag:
                found.setdefault(tag.casefold(), tag)
        return list(found.values())

    def validate(self, value: list[str]) -> None:
        if self.required and not value:
            raise ValidationError(self.error_messages["required"], code="required")
        if len(value) > MAX_TAGS:
            raise ValidationError(_("At most %(n)s tags, got %(got)s.") % {"n": MAX_TAGS, "got": len(value)})
        for tag in value:
            if len(tag) > TAG_CHARS:
                message = _("A tag has at most %(n)s characters; “%(tag)s” has %(got)s.")
                raise ValidationError(message % {"n": TAG_CHARS, "tag": tag, "got": len(tag)})

    def run_validators(self, value: Any) -> None:
        pass  # those of CharField are about one string


class ProjectForm(forms.ModelForm):
    """Settings of a project. What each field was when the page was loaded comes along, so that only what the
    person changed is saved and nothing a colleague changed meanwhile is written over."""

    tags = TagsField(label=_("Tags"))

    class Meta:
        model = Project
        fields = ["name", "description", "tags"]
        labels = {"name": _("Name"), "description": _("Description")}
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = True

    @property
    def changed_values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.changed_data}


class ProjectDeleteForm(forms.Form):
    """Asks to type the name of the project, so that nobody deletes one by a slip of the mouse."""

    confirm = forms.CharField(
        label=_("Type the name of the project to delete it"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.project = project

    def clean_confirm(self) -> str:
        typed = self.cleaned_data["confirm"]
        if " ".join(typed.split()) != " ".join(self.project.name.split()):
            raise ValidationError(_("That is not the name of the project. Nothing was deleted."))
        return typed


class MemberRoleForm(forms.ModelForm):
    class Meta:
        model = Member
        fields = ["role"]


class InvitationForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.ANALYST)
    email = forms.EmailField(
        label=_("E-mail"),
        required=False,
        help_text=_("To send the link by e-mail too. Without it you pass the link on yourself."),
    )


class AccountForm(BaseUserCreationForm):
    """A new account for somebody who was invited."""

    class Meta:
        model = get_user_model()
        fields = ["username", "email"]
        labels = {"username": _("User name"), "email": _("E-mail")}
        help_texts = {
            "username": _("You sign in with it."),
            "email": _("For a new password, should you forget it."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].required = True
        self.fields["password1"].help_text = _("At least 10 characters, not only digits, nothing common.")

    def clean_username(self) -> str:
        username = self.cleaned_data["username"]
        # Two accounts that differ in capital letters only would be taken for one another.
        if get_user_model().objects.filter(username__iexact=username).exists():
            raise ValidationError(_("This user name is taken. Choose another, or sign in if it is yours."))
        return username
