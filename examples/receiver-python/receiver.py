"""Receives Offerflow's callbacks, with nothing but Python 3.9 or newer:

    SECRET=whsec_… PORT=9090 python3 receiver.py

It verifies the signature, takes each message once, and drops news that is older than what it knows.
docs/callbacks.md explains why.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("SECRET", "")
if not SECRET.startswith("whsec_"):
    sys.exit("SECRET must be the whsec_… secret that PUT /api/v1/callback-endpoint showed")
KEY = base64.b64decode(SECRET[len("whsec_"):])
TOLERANCE = 5 * 60  # seconds between the sender's clock and ours
MAX_BODY = 1 << 20

# Keep these two in your database, in the transaction that credits the points.
seen = set()  # ids of messages
newest = {}  # the newest sequence of each conversion
lock = threading.Lock()


def is_genuine(headers, body):
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    # While a secret is rotated there are two signatures: any of them will do.
    return any(
        hmac.compare_digest(signature.encode(), f"v1,{expected}".encode())
        for signature in headers.get("webhook-signature", "").split(" ")
    )


def accept(message):
    conversion = message["conversion"]
    conversion_id = conversion["conversionId"]
    with lock:
        if message["id"] in seen or message["sequence"] <= newest.get(conversion_id, 0):
            return
        seen.add(message["id"])
        newest[conversion_id] = message["sequence"]
    member, points = conversion["pubMemberId"], conversion["rewardPoints"]
    if conversion["isTest"]:
        line = f"test {conversion_id}"
    elif member is None:
        line = f"no member {conversion_id}"  # the link was followed without pub_member_id
    elif conversion["status"] == "Success":
        line = f"credit {conversion_id} {member} {points}"
    elif conversion["rejectionReason"] == "reversed":
        line = f"take back {conversion_id} {member} {points}"
    else:
        line = f"{conversion['status']} {conversion_id} {member}"
    print(line, flush=True)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(int(length))  # the bytes as they came: the signature is over these
        if not is_genuine(self.headers, body):
            return self.answer(401)
        accept(json.loads(body))
        self.answer(204)  # also for what was dropped: anything else would bring it again

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9090"))), Receiver)
print(f"listening {server.server_port}", flush=True)
server.serve_forever()
