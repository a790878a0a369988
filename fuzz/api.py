"""Fuzzes the whole API from its OpenAPI document with schemathesis, as everybody.

Started by `cargo xtask fuzz`, which brings a database (`DATABASE_URL`), the programs (`PITCHEY_BIN_DIR`)
and schemathesis. Fails if an answer is a 5xx or is not what the document says.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

PASSWORD = "seven crows on a wire"
# What ends the session that the others are fuzzed with; nobody's session is fuzzed with them.
ENDS_SESSIONS = r"^/api/auth/(logout|logout-all|password|sessions)"
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "allow_header_conformance",
    "unsupported_method",
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(origin, base):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if origin.poll() is not None:
            sys.exit(f"the origin ended at once ({origin.returncode})")
        try:
            urllib.request.urlopen(f"{base}/api/health/ready", timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("the origin is not ready after 30 s")


def register(base, name, role):
    body = {"email": f"{name}@example.org", "username": name, "password": PASSWORD, "role": role}
    request = urllib.request.Request(
        f"{base}/api/auth/register",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.headers["set-cookie"].split(";")[0]


def fuzz(base, who, cookie, seconds, seed):
    command = [
        pathlib.Path(sys.executable).parent / "schemathesis",
        "run",
        f"{base}/api/openapi.json",
        f"--max-time={seconds}",
        f"--seed={seed}",
        f"--checks={','.join(CHECKS)}",
        "--continue-on-failure",
        "--workers=1",
        "--request-timeout=20",
        "--suppress-health-check=all",
        "--warnings=off",
        "--no-color",
    ]
    if cookie:
        command += ["-H", f"Cookie: {cookie}", "-H", "Sec-Fetch-Site: same-origin"]
        command += ["--exclude-path-regex", ENDS_SESSIONS]
    print(f"--- as {who}, {seconds} s, seed {seed}", flush=True)
    # What it keeps for the next run belongs with what is built.
    directory = pathlib.Path(os.environ["PITCHEY_BIN_DIR"]).parent
    return subprocess.run(command, check=False, cwd=directory).returncode == 0


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=300, help="for all of it")
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    programs = pathlib.Path(os.environ["PITCHEY_BIN_DIR"])
    for arguments in (["db", "migrate"], ["seed", "--pitches", "300", "--users", "60", "--seed", "1"]):
        subprocess.run([programs / "pitchey", *arguments], check=True, stdout=subprocess.DEVNULL)

    ports = free_port(), free_port()
    environment = {
        **os.environ,
        "PITCHEY_HTTP__ADDRESS": f"127.0.0.1:{ports[0]}",
        "PITCHEY_METRICS__ADDRESS": f"127.0.0.1:{ports[1]}",
        "PITCHEY_CURSOR__KEY": "a key for the fuzz, which is long enough",
        "PITCHEY_LIMITS__AUTH": "off",
        "PITCHEY_LIMITS__ACCOUNT": "off",
        "PITCHEY_LIMITS__ACCOUNT_TOTAL": "off",
        "PITCHEY_LIMITS__WRITE": "off",
        "PITCHEY_LIMITS__SEARCH": "off",
        "PITCHEY_LIMITS__BEACON": "off",
    }
    for name in ("PITCHEY_BIN_DIR", "REDIS_URL"):
        environment.pop(name, None)
    base = f"http://127.0.0.1:{ports[0]}"
    log = programs.parent / "fuzz-origin.log"
    with log.open("wb") as sink, subprocess.Popen([programs / "origin"], env=environment, stderr=sink) as origin:
        try:
            wait_until_ready(origin, base)
            people = [("nobody", None)]
            people += [(role, register(base, f"fuzz-{role}", role)) for role in ("creator", "investor")]
            share = max(options.seconds // len(people), 10)
            failed = [who for who, cookie in people if not fuzz(base, who, cookie, share, options.seed)]
            if origin.poll() is not None:
                sys.exit(f"the origin has died ({origin.returncode}), see {log}")
        finally:
            origin.terminate()
    if failed:
        sys.exit(f"failed as {', '.join(failed)}")


main()
