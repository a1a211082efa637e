"""The node's own pages on the metrics port."""

import datetime as dt
import html

from agent.metrics import disk_bytes, memory_bytes
from agent.node import Node
from agent.web import Page, Pages

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 1rem}
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%}
th{text-align:left;font-weight:500;padding:.35rem 1rem .35rem 0;width:12rem}
td{padding:.35rem 0;font-variant-numeric:tabular-nums}tr{border-bottom:1px solid #8884}
meter{width:14rem;vertical-align:middle}.bad{color:#c33;font-weight:600}footer{margin-top:2rem;color:#888}
"""


def pages(node: Node) -> Pages:
    """Return what each path answers."""
    return {
        "/": lambda: Page(dashboard(node).encode(), "text/html; charset=utf-8"),
        "/metrics": lambda: Page(node.metrics.text(), "text/plain; version=0.0.4; charset=utf-8"),
        "/healthz": lambda: _health(node),
    }


def _health(node: Node) -> Page:
    if node.activity.draining:
        return Page(b"draining\n", "text/plain; charset=utf-8", 503)
    if not node.runner.is_alive:
        return Page(b"the runner is down\n", "text/plain; charset=utf-8", 503)
    return Page(b"ok\n", "text/plain; charset=utf-8")


def dashboard(node: Node) -> str:
    """Return one self-contained page that renews itself."""
    activity, manifest = node.activity, node.manifest
    memory_total, memory_free = memory_bytes()
    disk_total, disk_free = disk_bytes(node)
    runner = "answers" if node.runner.is_alive else '<span class="bad">down</span>'
    rows = [
        ("State", html.escape(_state(node))),
        ("Runner", f"{runner}, {node.runner.slots} slots, lost {node.runner.restarts} times"),
        ("Items", f"{activity.running_items} running, {activity.queued_items} queued, {activity.items_done} done"),
        ("Commands", f"{activity.sessions} running"),
        ("Memory", _meter(memory_total - memory_free, memory_total)),
        ("Disk", _meter(disk_total - disk_free, disk_total)),
        ("Up for", f"{dt.timedelta(seconds=int(activity.uptime_s))}"),
        ("Expires", _expiry(manifest.expires_unix_s)),
        ("Groups", html.escape(", ".join(manifest.groups) or "none")),
        ("Manifest", str(manifest.serial or "none")),
        ("Build", html.escape(node.config.build)),
    ]
    body = "".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in rows)
    title = html.escape(manifest.node or "node")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1><table>{body}</table>"
        '<footer><a href="/metrics">metrics</a> · <a href="/healthz">health</a></footer></body></html>'
    )


def _state(node: Node) -> str:
    if node.activity.draining:
        return "draining"
    limit = f"; ends itself at {int(node.idle_limit_s)} s" if node.idle_limit_s else ""
    return node.activity.why_not_idle or f"idle for {int(node.activity.idle_s)} s{limit}"


def _meter(used: int, total: int) -> str:
    share = used / total if total else 0.0
    text = f"{used / 2**30:.1f} of {total / 2**30:.1f} GiB"
    return f'<meter min="0" max="1" high="0.9" value="{share:.3f}">{text}</meter> {text}'


def _expiry(unix_s: float) -> str:
    if not unix_s:
        return "never"
    return dt.datetime.fromtimestamp(unix_s, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
