"""Answers predictions over HTTP.

Two ways to run it. `python3 serve.py` is a server of its own, as SageMaker wants one in a container: GET /ping and
POST /invocations. And the scikit-learn image finds the functions `model_fn`, `input_fn`, `predict_fn` and `output_fn`
here and brings its own server.
"""

import json
import math
import os
import signal
import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import classifier

# SageMaker's own limit for the payload of a real-time endpoint is 25 MB; rows of thirty numbers stay far below.
MAX_BODY = 6 * 1024 * 1024


class BadRequest(ValueError):
    """The caller's mistake; the message is for the caller."""


class UnsupportedType(ValueError):
    """A content type that can't be read or written."""


def media_type(header):
    """`text/csv` out of `text/csv; charset=utf-8`."""
    return (header or "").split(";")[0].strip().lower()


def model_fn(model_dir):
    """The model in the folder."""
    return classifier.load_from(model_dir)


def input_fn(body, content_type):
    """The rows in a request's body."""
    try:
        text = body if isinstance(body, str) else bytes(body).decode("utf-8")
        if media_type(content_type) == "text/csv":
            rows = [line.split(",") for line in text.splitlines() if line.strip()]
        elif media_type(content_type) == "application/json":
            document = json.loads(text)
            rows = document.get("instances") if isinstance(document, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
                raise BadRequest('the body must be {"instances": [[number, …], …]}')
        else:
            raise UnsupportedType(f"send text/csv or application/json, not '{content_type}'")
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not rows:
        raise BadRequest("the body holds no row")
    return [[number(field, where, column) for column, field in enumerate(row, 1)] for where, row in enumerate(rows, 1)]


def number(field, row, column):
    try:
        value = float(field)
    except (TypeError, ValueError, OverflowError):
        raise BadRequest(f"row {row}, column {column}: no number: {field!r}") from None
    if not math.isfinite(value):
        raise BadRequest(f"row {row}, column {column}: the number must be finite")
    return value


def predict_fn(rows, model):
    """The scores of the rows."""
    for where, row in enumerate(rows, 1):
        if len(row) != len(model.inputs):
            raise BadRequest(f"row {where}: {len(row)} numbers instead of {len(model.inputs)}")
    return [model.score(row) for row in rows]


def output_fn(scores, accept="application/json"):
    """The answer's body and its type."""
    if media_type(accept) not in ("", "*/*", "application/*", "application/json"):
        raise UnsupportedType(f"the answer is application/json, not '{accept}'")
    answer = {"predictions": [int(score >= 0.5) for score in scores], "scores": scores}
    return json.dumps(answer), "application/json"


class Handler(BaseHTTPRequestHandler):
    # Connections stay open between requests.
    protocol_version = "HTTP/1.1"
    # Head and body leave in one write: two small ones would wait for the client's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    # A connection that says nothing for this long is closed, or its thread would stay for ever.
    timeout = 300

    def do_GET(self):
        if self.path == "/ping":
            self.answer(200, "")
        else:
            self.refuse(404, "there is GET /ping and POST /invocations")

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            # Without a length nobody knows where the next request starts.
            self.close_connection = True
            return self.refuse(411, "send a Content-Length")
        if int(length) > MAX_BODY:
            self.close_connection = True
            return self.refuse(413, f"at most {MAX_BODY} bytes")
        body = self.rfile.read(int(length))
        if self.path != "/invocations":
            return self.refuse(404, "there is GET /ping and POST /invocations")
        try:
            rows = input_fn(body, self.headers.get("Content-Type"))
            text, kind = output_fn(predict_fn(rows, self.server.model), self.headers.get("Accept", ""))
        except BadRequest as error:
            return self.refuse(400, str(error))
        except UnsupportedType as error:
            return self.refuse(415, str(error))
        except Exception as error:
            # A row that breaks the model must not break the server. The log gets the traceback, the caller the reason.
            traceback.print_exc()
            return self.refuse(500, f"{type(error).__name__}: {error}")
        self.answer(200, text, kind)

    def refuse(self, status, reason):
        self.answer(status, json.dumps({"error": reason}))

    def answer(self, status, text, kind="application/json"):
        body = text.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def handle_expect_100(self):
        going_on = super().handle_expect_100()
        # The client waits for this line before it sends the body.
        self.wfile.flush()
        return going_on

    def log_request(self, code="-", size="-"):
        """One line per request would bury the errors, and SageMaker counts requests already."""


class Server(ThreadingHTTPServer):
    # The default of 5 refuses connections when many clients arrive at once.
    request_queue_size = 128

    def __init__(self, address, model):
        super().__init__(address, Handler)
        self.model = model


def main():
    model = model_fn(os.environ.get("SM_MODEL_DIR", "/opt/ml/model"))
    host = os.environ.get("SAGEMAKER_BIND_TO_HOST", "0.0.0.0")
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    # As process 1 of a container Python would ignore the signal and be killed half a minute later.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server((host, port), model) as server:
        print(f"serving on {host}:{server.server_address[1]}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
