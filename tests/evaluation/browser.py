"""A page in headless Chromium: what a script finds in it, what it logs and what it asks for."""

import functools
import html
import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

#: The page in a frame as wide as asked for: Chromium's own window has a least width.
HARNESS = """<!DOCTYPE html><title>harness</title><body style="margin:0">
<iframe id="frame" src="{page}" style="width:{width}px;height:1000px;border:0"></iframe>
<pre id="found"></pre>
<script>
const frame = document.getElementById("frame");
frame.onload = async () => {{
  const view = frame.contentWindow, page = frame.contentDocument;
  const $ = id => page.getElementById(id);
  let found;
  try {{ found = await (async () => {{ {script} }})(); }}
  catch (error) {{ found = {{error: String(error)}}; }}
  document.getElementById("found").textContent = JSON.stringify(found);
}};
</script>"""


class Seen(NamedTuple):
    """What the script returned, the lines of the console, the files that were asked for."""

    found: dict
    console: list
    asked: set


def look(file, script, *, width=1200, dark=False, profile):
    """Opens a page and runs a script with `page`, `view` and `$`; skips without Chromium."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if not browser:
        pytest.skip("no Chromium on this machine")
    asked = set()
    harness = HARNESS.format(page=file.name, width=width, script=script).encode()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/harness":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            return self.wfile.write(harness)

        def log_message(self, *args):
            asked.add(self.path)

    handler = functools.partial(Handler, directory=file.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
             # Nothing but this server can be found.
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
             f"--blink-settings=preferredColorScheme={0 if dark else 1}",
             f"--user-data-dir={profile}", f"--window-size={width + 40},1100",
             "--virtual-time-budget=8000", "--dump-dom",
             f"http://127.0.0.1:{server.server_port}/harness"],
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        server.shutdown()
    written = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert written, done.stderr[-2000:]
    assert written[1], done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(json.loads(html.unescape(written[1])), console, asked - {"/favicon.ico"})
