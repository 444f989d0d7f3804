"""The commands of `folkmoot`, and their help. What they do is imported when they are called."""

from __future__ import annotations

import typer

from folkmoot.cli import (
    access,
    again,
    brokers,
    controls,
    demo_command,
    leaders,
    looking,
    streams,
    tasks,
    topics,
    trace,
    views,
)

app = typer.Typer(
    name="folkmoot",
    help="The control plane under multi-agent systems: elects who leads, remembers what was "
    "decided, finishes or undoes what was begun.",
    epilog="New here? `folkmoot demo` needs nothing else and takes a few seconds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

FIRST = "First steps"
RUN = "Run the platform"
LOOK = "Look and act"

app.command("demo", rich_help_panel=FIRST)(demo_command.demo)
app.command("doctor", rich_help_panel=FIRST)(brokers.doctor)
app.command("up", rich_help_panel=RUN)(brokers.up)
app.command("down", rich_help_panel=RUN)(brokers.down)
app.command("status", rich_help_panel=RUN)(brokers.status)
app.command("service", rich_help_panel=RUN)(brokers.service)
app.command("worker", rich_help_panel=RUN)(brokers.worker)
app.add_typer(topics.topics, name="topics", rich_help_panel=RUN)
app.add_typer(access.access, name="access", rich_help_panel=RUN)
app.command("submit", rich_help_panel=LOOK)(tasks.submit)
looking.register(tasks.sagas)
controls.register(tasks.sagas)
again.register(tasks.sagas)
app.add_typer(tasks.sagas, name="sagas", rich_help_panel=LOOK)
app.command("trace", rich_help_panel=LOOK)(trace.trace)
app.add_typer(streams.events, name="events", rich_help_panel=LOOK)
app.command("leaders", rich_help_panel=LOOK)(leaders.leaders)
app.command("team", rich_help_panel=LOOK)(leaders.team)
app.command("breakers", rich_help_panel=LOOK)(views.breakers)
app.add_typer(views.knowledge, name="knowledge", rich_help_panel=LOOK)
