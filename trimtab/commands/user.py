"""`trimtab user`: the people who may sign in."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TextIO

import click

from core.roles import Role
from store import accounts
from trimtab import installation, options
from trimtab.output import emit


@click.group()
def user() -> None:
    """Accounts of the dashboard."""


@user.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), default=Role.VIEWER.value, show_default=True)
@click.option(
    "--password-file", type=click.File(), help="File whose first line is the password; - reads it from stdin."
)
@options.as_json
@click.pass_context
def add(context: click.Context, name: str, role: str, password_file: TextIO | None, as_json: bool) -> None:
    """Add an account. Without --password-file a password is made and shown once."""
    settings = options.settings(context)
    given = password_file.readline().rstrip("\n") if password_file else ""
    password = given or secrets.token_urlsafe(12)
    store = installation.open_store(settings)
    with store.write(datetime.now(UTC)) as tx:
        accounts.create(tx, name, password, role, actor="system:command-line")
    shown = {} if given else {"password": password}
    emit(
        {"account": name, "role": role, **shown},
        as_json=as_json,
        text=f"{name} may sign in as {role}." + ("" if given else f" Password (shown once): {password}"),
    )
