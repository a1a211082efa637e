"""The verbs of `gaxx` as Fabric tasks: `fab --list`, `fab run --command 'uname -a' --nodes 'demo-[1-2]'`.

Tasks of your own go below; `connections()` gives them one Fabric connection a node, host keys pinned.
"""

from tasks.fabric_tasks import connections, namespace

__all__ = ["connections", "namespace"]
