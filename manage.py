#!/usr/bin/env python
"""Command line of TopicAssign: `python manage.py help` lists the commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "topicassign.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit("Django is not installed here. Run `make run`, or activate the .venv first.") from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
