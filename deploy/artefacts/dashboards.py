"""The dashboards, as what they ask and how that is shown; Grafana's JSON is made of it.

`$__rate_interval`, and the variables of a dashboard, are Grafana's to fill in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FOLDER = "deploy/grafana/dashboards"
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
JAEGER = {"type": "jaeger", "uid": "jaeger"}
SCHEMA = 39
PANELS_A_ROW = 2
WIDTH, HEIGHT = 24 // PANELS_A_ROW, 8


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart. `queries` are PromQL by their legends."""

    title: str
    unit: str
    queries: Mapping[str, str]
    says: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page. `variables` are what is chosen on it, each with a metric that has its values."""

    uid: str
    title: str
    panels: Sequence[Panel]
    variables: Mapping[str, str]


def _rate(metric: str, by: str, where: str = "") -> str:
    chosen = f"{{{where}}}" if where else ""
    return f"sum by ({by}) (rate({metric}{chosen}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str, where: str = "") -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', f'{by}, le', where)})"


_SERVICE, _TEAM, _AGENT = 'service=~"$service"', 'team=~"$team"', 'agent=~"$agent"'

PLATFORM = Dashboard(
    "folkmoot-platform",
    "Folkmoot: platform",
    (
        Panel(
            "Shards by what their replicas do",
            "short",
            {"{{service}} {{role}}": f"sum by (service, role) (folkmoot_role{{{_SERVICE}}})"},
            "Each shard needs one that leads.",
        ),
        Panel(
            "Shards without a leader",
            "short",
            {
                "{{service}}": "count by (service) (max by (service, shard) "
                f'(folkmoot_role{{role="leading", {_SERVICE}}}) == 0) '
                f"or 0 * count by (service) (folkmoot_term{{{_SERVICE}}})"
            },
        ),
        Panel(
            "Inputs by what became of them",
            "ops",
            {
                "{{service}} {{outcome}}": _rate(
                    "folkmoot_inputs_total", "service, outcome", _SERVICE
                )
            },
        ),
        Panel(
            "Errors",
            "ops",
            {
                "{{service}} {{reason}}": _rate(
                    "folkmoot_failures_total", "service, reason", _SERVICE
                ),
                "{{service}} fenced": _rate("folkmoot_fenced_appends_total", "service", _SERVICE),
                "{{service}} dead letters": _rate(
                    "folkmoot_dead_letters_total", "service", _SERVICE
                ),
            },
            "Replicas made anew from their logs, appends after another's claim, dead letters.",
        ),
        Panel(
            "Append, from sending to acknowledgement",
            "s",
            {
                f"{{{{service}}}} p{share * 100:g}": _quantile(
                    share, "folkmoot_append_seconds", "service", _SERVICE
                )
                for share in (0.5, 0.99)
            },
        ),
        Panel(
            "Event loop delay, p99",
            "s",
            {
                "{{service}} {{instance}}": _quantile(
                    0.99, "folkmoot_event_loop_delay_seconds", "service, instance", _SERVICE
                )
            },
        ),
        Panel(
            "Changes of leader",
            "short",
            {
                "{{service}}": "sum by (service) "
                f"(increase(folkmoot_terms_led_total{{{_SERVICE}}}[$__rate_interval]))"
            },
        ),
        Panel(
            "Terms",
            "none",
            {"{{shard}}": f"max by (shard) (folkmoot_term{{{_SERVICE}}})"},
            "The offset of the claim that won: a step up is a new leader.",
        ),
        Panel(
            "Age of the newest snapshot",
            "s",
            {"{{shard}}": f"max by (shard) (folkmoot_snapshot_age_seconds{{{_SERVICE}}})"},
            "Nothing until a shard has its first.",
        ),
        Panel(
            "Last restore",
            "s",
            {"{{shard}} {{instance}}": f"folkmoot_restore_seconds{{{_SERVICE}}}"},
        ),
    ),
    {"service": "folkmoot_term"},
)

TEAM = Dashboard(
    "folkmoot-team",
    "Folkmoot: sagas of a team",
    (
        Panel(
            "Open sagas",
            "short",
            {"{{state}}": f"sum by (state) (folkmoot_sagas_open{{{_TEAM}}})"},
        ),
        Panel(
            "Stuck sagas",
            "short",
            {
                "{{team}}": f'sum by (team) (folkmoot_sagas_open{{state="stuck", {_TEAM}}}) '
                f"or 0 * sum by (team) (folkmoot_sagas_ended_total{{{_TEAM}}})"
            },
        ),
        Panel(
            "Sagas ended",
            "ops",
            {"{{state}}": _rate("folkmoot_sagas_ended_total", "state", _TEAM)},
        ),
        Panel(
            "Share of sagas that were undone",
            "percentunit",
            {
                "{{team}}": "sum by (team) (rate(folkmoot_sagas_ended_total"
                f'{{state="compensated", {_TEAM}}}[$__rate_interval])) / '
                + _rate("folkmoot_sagas_ended_total", "team", _TEAM)
            },
        ),
        Panel(
            "From opening to end",
            "s",
            {
                f"p{share * 100:g}": _quantile(share, "folkmoot_saga_seconds", "team", _TEAM)
                for share in (0.5, 0.9, 0.99)
            },
        ),
        Panel(
            "Calls of the team's agents",
            "ops",
            {
                "{{agent}} {{outcome}}": "sum by (agent, outcome) "
                "(rate(folkmoot_breaker_calls_total[$__rate_interval])) and on (agent) "
                f"folkmoot_breaker_state{{{_TEAM}}}"
            },
        ),
        Panel(
            "Calls at workers",
            "short",
            {
                "{{shard}} running": "sum by (shard) (folkmoot_calls_running)",
                "{{shard}} waiting": "sum by (shard) (folkmoot_calls_waiting)",
            },
        ),
        Panel(
            "Teams by leadership",
            "short",
            {"{{state}}": "sum by (state) (folkmoot_teams)"},
        ),
        Panel(
            "Documents that members have otherwise",
            "short",
            {"{{instance}}": "max by (instance) (folkmoot_knowledge_differing_documents)"},
            "Of the last whole second. It is zero when all know the same.",
        ),
        Panel(
            "Gossip that cannot be used",
            "ops",
            {"{{kind}}": _rate("folkmoot_knowledge_problems_total", "kind")},
        ),
    ),
    {"team": "folkmoot_sagas_ended_total"},
)

BREAKERS = Dashboard(
    "folkmoot-breakers",
    "Folkmoot: breakers",
    (
        Panel("Breakers", "short", {"{{state}}": "sum by (state) (folkmoot_breakers)"}),
        Panel(
            "State of each breaker",
            "short",
            {
                "{{agent}}": f'max by (agent) (folkmoot_breaker_state{{state="open", {_AGENT}}}) '
                f'+ 0.5 * max by (agent) (folkmoot_breaker_state{{state="half-open", {_AGENT}}})'
            },
            "0 closed, 0.5 half-open, 1 open.",
        ),
        Panel(
            "Calls",
            "ops",
            {
                "{{agent}} {{outcome}}": _rate(
                    "folkmoot_breaker_calls_total", "agent, outcome", _AGENT
                )
            },
        ),
        Panel(
            "Share of calls refused",
            "percentunit",
            {
                "{{agent}}": "sum by (agent) (rate(folkmoot_breaker_calls_total"
                f'{{outcome="refused", {_AGENT}}}[$__rate_interval])) / '
                "sum by (agent) (rate(folkmoot_breaker_calls_total"
                f'{{outcome=~"admitted|refused", {_AGENT}}}[$__rate_interval]))'
            },
        ),
        Panel(
            "Calls in flight",
            "short",
            {"{{agent}}": f"sum by (agent) (folkmoot_breaker_calls_in_flight{{{_AGENT}}})"},
        ),
        Panel(
            "Calls that wait for room",
            "short",
            {"{{agent}}": f"sum by (agent) (folkmoot_breaker_calls_queued{{{_AGENT}}})"},
        ),
        Panel(
            "Transitions",
            "short",
            {
                "{{agent}}": "sum by (agent) "
                f"(increase(folkmoot_breaker_transitions_total{{{_AGENT}}}[$__rate_interval]))"
            },
        ),
    ),
    {"agent": "folkmoot_breaker_state"},
)

BUS = Dashboard(
    "folkmoot-bus",
    "Folkmoot: bus",
    (
        Panel(
            "Inputs waiting",
            "short",
            {"{{shard}} {{topic}}": f"max by (shard, topic) (folkmoot_inbox_lag{{{_SERVICE}}})"},
        ),
        Panel(
            "Effects not acknowledged",
            "short",
            {"{{shard}}": f"max by (shard) (folkmoot_pending_effects{{{_SERVICE}}})"},
        ),
        Panel(
            "Records appended",
            "ops",
            {"{{shard}}": _rate("folkmoot_appended_records_total", "shard", _SERVICE)},
        ),
        Panel(
            "Effects acknowledged",
            "ops",
            {"{{shard}}": _rate("folkmoot_effects_total", "shard", _SERVICE)},
        ),
        Panel(
            "Append, p99",
            "s",
            {"{{shard}}": _quantile(0.99, "folkmoot_append_seconds", "shard", _SERVICE)},
        ),
        Panel(
            "Dead letters in an hour",
            "short",
            {
                "{{service}}": "sum by (service) "
                f"(increase(folkmoot_dead_letters_total{{{_SERVICE}}}[1h]))"
            },
        ),
        Panel(
            "Since the log was read or written",
            "s",
            {
                "{{shard}} {{instance}}": f"folkmoot_progress_age_seconds{{{_SERVICE}}}",
            },
            "Beats come every third of a ttl, so more than a ttl is an outage.",
        ),
        Panel(
            "Refused by the brokers",
            "short",
            {
                "{{service}} {{instance}} {{broker}}": "sum by (service, instance, broker) "
                f"(folkmoot_bus_refusals_total{{{_SERVICE}}})"
            },
            "Since each process began. One is one too many.",
        ),
        Panel(
            "Index behind the logs",
            "s",
            {"{{instance}}": "max by (instance) (folkmoot_index_age_seconds)"},
            "How long ago a record was seen that has not been taken in since.",
        ),
        Panel(
            "Records that the index lacks",
            "short",
            {"{{instance}}": "max by (instance) (folkmoot_index_lag)"},
        ),
    ),
    {"service": "folkmoot_term"},
)

DASHBOARDS = (PLATFORM, TEAM, BREAKERS, BUS)


def files() -> dict[str, str]:
    """Return the dashboards as Grafana reads them, and one saga's, which is its trace."""
    pages = {dashboard.uid: _json(dashboard) for dashboard in DASHBOARDS}
    pages["folkmoot-saga"] = _saga()
    return {
        f"{FOLDER}/{uid.removeprefix('folkmoot-')}.json": json.dumps(page, indent=1) + "\n"
        for uid, page in pages.items()
    }


def _page(
    uid: str, title: str, panels: Sequence[object], variables: Sequence[object]
) -> dict[str, Any]:
    return {
        "uid": uid,
        "title": title,
        "tags": ["folkmoot"],
        "schemaVersion": SCHEMA,
        "editable": False,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [
            {"type": "dashboards", "tags": ["folkmoot"], "title": "Folkmoot", "asDropdown": True}
        ],
        "templating": {"list": variables},
        "panels": panels,
    }


def _json(dashboard: Dashboard) -> dict[str, Any]:
    panels = [_panel(number, panel) for number, panel in enumerate(dashboard.panels)]
    variables = [_variable(name, metric) for name, metric in dashboard.variables.items()]
    return _page(dashboard.uid, dashboard.title, panels, variables)


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, PANELS_A_ROW)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": PROMETHEUS,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {"refId": chr(ord("A") + n), "expr": query, "legendFormat": legend}
            for n, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _variable(name: str, metric: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": PROMETHEUS,
        "query": f"label_values({metric}, {name})",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _saga() -> dict[str, Any]:
    trace = {
        "name": "trace",
        "type": "textbox",
        "label": "Trace id (`folkmoot trace SAGA` tells it)",
    }
    panel = {
        "id": 1,
        "type": "traces",
        "title": "Trace",
        "datasource": JAEGER,
        "gridPos": {"x": 0, "y": 0, "w": 2 * WIDTH, "h": 3 * HEIGHT},
        "targets": [{"refId": "A", "datasource": JAEGER, "query": "$trace"}],
    }
    return _page("folkmoot-saga", "Folkmoot: one saga", [panel], [trace])
