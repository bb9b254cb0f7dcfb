# SPDX-License-Identifier: MIT
"""A small web service: the standard library's WSGI server, a thread for each request. Prints its port."""
import json
import socketserver
import threading
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


visits = {}
lock = threading.Lock()


def greet(query):
    name = query["name"][0]
    with lock:
        visits[name] = visits.get(name, 0) + 1
        visit = visits[name]
    text = f"hello {name}, visit {visit}"
    return {"text": text, "length": len(text)}


def add(query):
    total = 0
    for n in query["n"]:
        total += int(n)
    return {"total": total}


ROUTES = {"/greet": greet, "/add": add}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    query = parse_qs(environ["QUERY_STRING"])
    try:
        answer = ROUTES[path](query)
    except (KeyError, ValueError) as e:
        problem = f"{type(e).__name__}: {e}"
        start_response("400 Bad Request", [("Content-Type", "text/plain")])
        return [problem.encode()]
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


if __name__ == "__main__":
    with make_server("127.0.0.1", 0, app, Server, Quiet) as httpd:
        print("port", httpd.server_port, flush=True)
        httpd.serve_forever()
