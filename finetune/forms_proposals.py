"""What people do with proposals, made into clean values; what is allowed the services decide."""

from __future__ import annotations

from typing import Any

from django import forms

NEW_CATEGORY = "\t"  # no category is called so: names have no control characters


class ProposalForm(forms.Form):
    """All that one line of the list holds; `was_…` is what the person saw."""

    label = forms.CharField(required=False, max_length=500)
    was_label = forms.CharField(required=False, max_length=500)
    category = forms.CharField(required=False, max_length=500, strip=False)
    new_category = forms.CharField(required=False, max_length=500)
    was_category = forms.CharField(required=False, max_length=500)
    chosen = forms.BooleanField(required=False)
    sentiment = forms.BooleanField(required=False)

    def values(self) -> dict[str, Any]:
        """Return what `proposal_update` takes."""
        data = self.cleaned_data
        category = data["new_category"] if data["category"] == NEW_CATEGORY else data["category"].strip()
        return {
            "label": data["label"],
            "category": category or data["was_category"],
            "is_chosen": data["chosen"],
            "sentiment_enabled": data["sentiment"],
            "seen": {"label": data["was_label"], "category": data["was_category"]},
        }


class CategoryRenameForm(forms.Form):
    category = forms.CharField(max_length=500)
    label = forms.CharField(required=False, max_length=500)


class ChooseForm(forms.Form):
    """Tick or untick all, or the sentiment of all; what is not named stays."""

    chosen = forms.NullBooleanField(required=False)
    sentiment = forms.NullBooleanField(required=False)


class _Ids(forms.Field):
    """Whole numbers that come several times under one name."""

    widget = forms.SelectMultiple

    def clean(self, value: Any) -> list[int]:
        return [int(one) for one in value or [] if one.isdecimal() and len(one) < 19]


class MergeProposalsForm(forms.Form):
    """Proposals that become one with another, and what it is called then."""

    label = forms.CharField(required=False, max_length=500)
    source = _Ids()
