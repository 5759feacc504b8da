"""OpenStack Swift with its S3 API on loopback: a real store, with the faults of `swift_faults.py` on demand.

    python swift_server.py FOLDER --port 9107 --base 6200 --key worker:secret [--reader other:secret]

Prints `READY` once it answers; stops on SIGTERM and when its standard input ends. The key `worker` is called
`test:worker` by S3. Every call with the key of a `--reader` is answered 403.
"""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

RINGS: Final = ("object", "container", "account")
START_S: Final = 60.0

SWIFT_CONF: Final = """\
[swift-hash]
swift_hash_path_suffix = test
swift_hash_path_prefix = test
[storage-policy:0]
name = p
default = yes
"""

COMMON: Final = """\
swift_dir = {etc}
log_level = ERROR
log_udp_host =
log_address = {folder}/nolog
workers = 0
user = {user}
bind_ip = 127.0.0.1
bind_port = {port}
keep_idle = 60
"""

NODE_CONF: Final = """\
[DEFAULT]
{common}devices = {folder}/node
mount_check = false
disable_fallocate = true
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
replication_server = true
"""

PROXY_CONF: Final = """\
[DEFAULT]
{common}
[pipeline:main]
pipeline = faults catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth slo \
versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:faults]
paste.filter_factory = swift_faults:faults_factory
no_conditional_writes = true
[filter:cache]
paste.filter_factory = swift_faults:cache_factory
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = {region}
dns_compliant_bucket_names = true
max_upload_part_num = 10000
min_segment_size = 5000000
[filter:tempauth]
use = egg:swift#tempauth
{users}[filter:slo]
use = egg:swift#slo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
"""


def write_settings(arguments: argparse.Namespace) -> Path:
    """Settings of the four servers; the folder they are in."""
    folder = arguments.folder.resolve()
    etc: Path = folder / "etc"
    etc.mkdir(parents=True, exist_ok=True)
    (folder / "node/sdb").mkdir(parents=True, exist_ok=True)

    def common(port: int) -> str:
        return COMMON.format(etc=etc, folder=folder, user=getpass.getuser(), port=port)

    (etc / "swift.conf").write_text(SWIFT_CONF)
    for offset, name in enumerate(RINGS):
        text = NODE_CONF.format(common=common(arguments.base + offset), folder=folder, name=name)
        (etc / f"{name}-server.conf").write_text(text)
    users = "".join(f"user_test_{key.partition(':')[0]} = {key.partition(':')[2]} .admin\n" for key in arguments.key)
    users += "".join(f"user_test_{key.partition(':')[0]} = {key.partition(':')[2]}\n" for key in arguments.reader)
    proxy = PROXY_CONF.format(common=common(arguments.port), region=arguments.region, users=users)
    (etc / "proxy-server.conf").write_text(proxy)
    return etc


def read_settings(etc: Path) -> None:
    """Swift looks for its own file in /etc and has read it by the time it is imported."""
    from swift.common import constraints, storage_policy, utils
    from swift.common.utils import base, config

    for module in (utils, base, config):
        if hasattr(module, "SWIFT_CONF_FILE"):
            module.SWIFT_CONF_FILE = str(etc / "swift.conf")
    storage_policy.reload_storage_policies()
    constraints.reload_constraints()


def write_rings(etc: Path, base: int) -> None:
    """One device, one copy."""
    from swift.common.ring import RingBuilder

    for offset, name in enumerate(RINGS):
        builder = RingBuilder(4, 1, 0)
        place = {"ip": "127.0.0.1", "port": base + offset}
        more = {"replication_ip": place["ip"], "replication_port": place["port"], "device": "sdb", "meta": ""}
        builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, **place, **more})
        builder.rebalance()
        builder.get_ring().save(str(etc / f"{name}.ring.gz"))


def start_servers(etc: Path) -> list[int]:
    from swift.common.wsgi import run_wsgi

    children = []
    for name in ("account", "container", "object", "proxy"):
        child = os.fork()
        if child == 0:
            os.setsid()  # a Swift server that ends also ends its process group
            sys.exit(run_wsgi(str(etc / f"{name}-server.conf"), f"{name}-server", verbose=False))
        children.append(child)
    return children


def wait_until_open(ports: list[int]) -> None:
    until = time.monotonic() + START_S
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=9107)
    parser.add_argument("--base", type=int, default=6200)
    parser.add_argument("--key", action="append", default=[])
    parser.add_argument("--reader", action="append", default=[])
    parser.add_argument("--region", default="us-west-004")
    arguments = parser.parse_args()
    os.environ["EVENTLET_NO_GREENDNS"] = "yes"  # or the first name to resolve costs 20 s
    sys.path.insert(0, str(Path(__file__).parent))
    etc = write_settings(arguments)
    read_settings(etc)
    write_rings(etc, arguments.base)
    children = start_servers(etc)

    def stop(*_: object) -> None:
        for child in children:  # asked politely, they wait for every idle connection to close
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the test runner's, which ends the standard input
    wait_until_open([arguments.port, *(arguments.base + offset for offset in range(len(RINGS)))])
    sys.stdout.write("READY\n")
    sys.stdout.flush()

    def watch() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    os.wait()  # a server that ends by itself ends them all
    stop()


if __name__ == "__main__":
    main()
