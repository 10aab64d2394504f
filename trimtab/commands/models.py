"""`trimtab models`: prepare the chat model and the encoder."""

from __future__ import annotations

import click

from core.errors import NotFound
from core.settings import Settings
from trimtab import options
from trimtab.output import emit, progress


@click.group()
def models() -> None:
    """The models that answer and measure."""


@models.command()
@options.as_json
@click.pass_context
def prepare(context: click.Context, as_json: bool) -> None:
    """Fetch and convert the default chat model and encoder, or take those that the settings name."""
    settings = options.settings(context)
    prepare_models(settings, quiet=as_json)
    emit(
        {"chat": str(settings.chat_path), "encoder": str(settings.encoder_path)},
        as_json=as_json,
        text=f"The models are in {settings.models_home}.",
    )


@models.command()
@click.argument("version")
@options.as_json
@click.pass_context
def card(context: click.Context, version: str, as_json: bool) -> None:
    """Print the model card of VERSION as Markdown, or its facts with --json."""
    from core.cards import write_card
    from store.queries import cards
    from trimtab import installation

    store = installation.open_store(options.settings(context))
    try:
        with store.read() as tx:
            facts = cards.facts(tx, version)
    finally:
        store.close()
    if facts is None:
        raise NotFound(f"There is no version {version}.", "See the Models page for those there are.")
    emit(facts, as_json=as_json, text=write_card(facts))


def prepare_models(settings: Settings, *, quiet: bool = False) -> None:
    """Prepare both models; quick when they are there. Raises Unavailable or InvalidInput in plain words."""
    from models.prepare import prepare as make

    with progress("Models", quiet=quiet) as report:
        make(
            settings.models_home,
            chat=settings.models.chat or None,
            encoder=settings.models.encoder or None,
            progress=lambda note, share: report(share, note),
        )
