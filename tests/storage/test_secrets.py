"""Nothing secret comes out, however much is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import traceback
from typing import TYPE_CHECKING, Final

import pytest

from storage.credentials import make_credentials
from storage.errors import StorageError
from storage.grants import GrantStore, grant_reading, grant_writing
from storage.http import WebStore
from storage.keys import KeyService
from storage.place import Place
from storage.reader import ObjectReader
from storage.writer import ObjectWriter
from tests.storage.native_api import NativeApi
from tests.storage.server import KEY, REGION, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.b2 import B2Store
    from tests.storage.server import Server

TALKATIVE: Final = """
    import json, logging, os, sys
    logging.basicConfig(level=logging.DEBUG)
    import storage
    from storage.place import place_of
    url = sys.argv[1]
    print(place_of(url), place_of(url).store)
    with storage.open(url, "wb") as file:
        file.write(b"x" * 20_000_000)
    signed = storage.presign(url)
    json.dump({"length": len(signed)}, sys.stdout)
    with storage.open(signed) as file:
        file.read()
        print(file, file.name)
    print(storage.stat(url), list(storage.list(url)))
    print(sys.argv)
    os.environ["B2_APPLICATION_KEY"] += "X"
    storage.stat(url)
"""


def test_no_log_and_no_traceback_at_any_verbosity(server: Server, bucket: str, tmp_path: object) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "B2_APPLICATION_KEY_ID": server.credentials.key_id,
        "B2_APPLICATION_KEY": server.credentials.key,
        "B2_REGION": REGION,
        "B2_ENDPOINT": server.url,
        "XDG_STATE_HOME": str(tmp_path),
    }
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-c", textwrap.dedent(TALKATIVE), f"b2://{bucket}/clip"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert "AccessError" in done.stderr  # the whole program ran, up to the wrong key at its end
    assert '{"length": ' in done.stdout
    assert SECRETS.search(done.stdout) is None
    assert SECRETS.search(done.stderr) is None


def test_no_error_holds_a_secret_nor_do_its_causes(server: Server, remote: B2Store, bucket: str) -> None:
    remote.put("in", b"x" * 1000)
    wrong = server.store(bucket, make_credentials("test:worker", f"{KEY}Wrong", region=REGION, endpoint=server.url))
    url = grant_reading(Place(remote, "in"), expires_s=600)
    grant = grant_writing(Place(remote, "out"), mark="m", max_bytes=1000, expires_s=600)
    web, lent = WebStore(retrier=server.retrier()), GrantStore(grant, retrier=server.retrier())
    nobody = make_credentials("test:worker", KEY, region=REGION, endpoint="http://127.0.0.1:9")

    def write() -> None:
        with ObjectWriter(lent, "out") as file:
            file.write(b"x")

    attempts: list[Callable[[], object]] = [
        lambda: wrong.put("x", b"x"),
        lambda: wrong.head("x"),
        lambda: list(wrong.list()),
        lambda: server.store(bucket, nobody).put("x", b"x"),
        lambda: web.head(url + "0"),
        lambda: web.head(url.replace("127.0.0.1", "127.0.0.2")),
        lambda: web.head(url, version="1"),
        lambda: ObjectReader(web, url + "1"),
        write,
    ]
    for status in (400, 403, 500, 501):
        server.break_next({"times": 99, "status": status, "code": "AccessDenied"})
        attempts_now = attempts if status == 403 else [write, lambda: web.head(url), lambda: remote.put("x", b"x")]
        for attempt in attempts_now:
            with pytest.raises(StorageError) as caught:
                attempt()
            told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)
            assert SECRETS.search(told) is None, told


def test_the_account_key_and_its_token_stay_inside(server: Server) -> None:
    account = make_credentials("004account", KEY, region=REGION)
    made = ("004made", "K004madesecret")
    with NativeApi(account=("004account", KEY), made=made, s3_url=server.url, buckets={"bucket": "1"}) as api:
        service = KeyService(account, api=api.url, retrier=server.retrier())
        shown = repr(service.create("bucket", duration_s=60, name="n")) + repr(service) + str(vars(service))
        api.failures = [(400, "bad_request", "no", {})]
        with pytest.raises(StorageError) as caught:
            service.create("bucket", duration_s=60, name="n")
        assert SECRETS.search("".join(traceback.format_exception(caught.value))) is None
    assert SECRETS.search(shown) is None


def test_a_grant_shows_its_object_and_nothing_that_opens_it(remote: B2Store) -> None:
    grant = grant_writing(Place(remote, "out"), mark="m", max_bytes=1000, expires_s=600)
    assert "b2://" in repr(grant)
    assert SECRETS.search(repr(grant) + str(grant)) is None
    assert SECRETS.search(json.dumps(json.loads(grant.to_json()))) is not None
