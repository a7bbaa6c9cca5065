"""The HTTP server around the state of the fake Kubeflow Pipelines API."""

import email.parser
import email.policy
import http.server
import json
import re
import threading
import urllib.parse
from dataclasses import dataclass

from tests.kubeflow.fake_rules import RefusalError


@dataclass
class Request:
    """What the client sent."""

    method: str
    path: str
    query: dict
    body: object
    token: str | None

    @property
    def is_change(self):
        return self.method != "GET"


def serve(state):
    """Serve a state on a free port.

    Returns:
        The server, whose `shutdown` and `server_close` end it.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet per answer: two would wait 40 ms for each other

        def handle_request(self):
            request = self.read_request()
            state.requests.append(request)
            for (method, pattern), plan in list(state.plans.items()):
                if method == request.method and re.search(pattern, self.path):
                    if plan is ConnectionError:  # after the work was done
                        state.answer(request)
                        self.close_connection = True
                        self.connection.close()
                        return
                    status, body, kind = plan[:3]
                    self.send(status, body.encode(), kind, *plan[3:])
                    return
            try:
                state.check_token(request)
                status, answer = 200, state.answer(request)
            except RefusalError as error:
                status = error.status
                answer = {"code": 2, "message": error.message, "details": []}
            self.send(status, json.dumps(answer).encode(), "application/json")

        do_GET = do_POST = do_DELETE = handle_request  # noqa: N815

        def read_request(self):
            path, _, query = self.path.partition("?")
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            kind = self.headers.get("content-type", "")
            return Request(
                method=self.command,
                path=path,
                query={k: v[-1] for k, v in urllib.parse.parse_qs(query).items()},
                body=read_file(raw, kind) if "multipart" in kind else json.loads(raw or b"null"),
                token=self.headers.get("authorization"),
            )

        def send(self, status, body, kind, location=None):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def read_file(raw, kind):
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw
    )
    (part,) = message.iter_parts()
    assert part.get_param("name", header="content-disposition") == "uploadfile"
    return part.get_payload(decode=True).decode()
