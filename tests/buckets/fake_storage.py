"""The JSON API of Google Cloud Storage, as far as Beam, TensorFlow and Loupe use it, and strict.

What it does not know it refuses with 501, so that a test fails instead of believing an answer.
"""

import base64
import datetime
import hashlib
import itertools
import json
import re
import struct
import threading
import urllib.parse
from dataclasses import dataclass, field

import google_crc32c

MOST_PER_PAGE = 1000
CHUNK_BYTES = 256 * 1024
"""Chunks of a resumable upload, but for the last one, are a multiple of this."""
TOKEN = "a-token-of-the-fake"
_OBJECTS = r"/b/([^/]+)/o"
_OBJECT = _OBJECTS + r"/([^/]+)"
_ANY_PARAMETERS = {"fields", "prettyPrint", "projection"}
"""They choose what is shown of an answer."""


@dataclass
class Answer:
    """Status, headers and body of an answer."""

    status: int = 200
    body: bytes = b""
    headers: dict = field(default_factory=dict)


@dataclass
class Request:
    """What a client asked; the path is still quoted."""

    method: str
    host: str
    path: str
    query: dict
    headers: object
    body: bytes

    def allow(self, *parameters):
        if unknown := set(self.query) - _ANY_PARAMETERS - set(parameters):
            raise RefusalError(501, f"the fake does not know the parameters {sorted(unknown)}")


class RefusalError(Exception):
    """An answer that is an error."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


@dataclass
class StoredObject:
    """One version of an object."""

    data: bytes
    generation: int
    content_type: str
    updated: str


class FakeStorage:
    """Buckets, and who may use them.

    Args:
        per_page: objects of one page of a listing; clients that do not turn pages lose some.

    Attributes:
        buckets: objects by name, by bucket.
        forbidden: buckets that the account may not use.
        outages: requests that are still to be answered with 503.
        requests: what was asked.
        unknown: what was asked and is not known here; a test wants none.
    """

    def __init__(self, per_page=MOST_PER_PAGE):
        self.per_page = per_page
        self.clear()
        self._numbers = itertools.count(1_700_000_000_000_000)
        self._lock = threading.RLock()
        self.routes = [
            ("POST", r"/token", self.give_token),
            ("POST", r"/oauth2/v[34]/token", self.give_token),
            ("GET", r"/v1/projects/-/serviceAccounts/[^/]+/allowedLocations", self.give_locations),
            ("POST", r"/batch/storage/v1", self.answer_batch),
            ("GET", r"/storage/v1/b/([^/]+)", self.show_bucket),
            ("GET", rf"/storage/v1{_OBJECTS}/?", self.list_objects),
            ("GET", rf"(?:/download)?/storage/v1{_OBJECT}", self.get_object),
            ("DELETE", rf"/storage/v1{_OBJECT}", self.delete_object),
            ("POST", rf"/storage/v1{_OBJECT}/(?:rewriteTo|copyTo){_OBJECT}", self.copy_object),
            ("POST", rf"/upload/storage/v1{_OBJECTS}", self.begin_upload),
            ("PUT", rf"/upload/storage/v1{_OBJECTS}", self.go_on_uploading),
            ("GET", r"/([^/]+)/(.+)", self.get_by_xml_api),
        ]

    def clear(self):
        """Begin anew: no bucket, and nothing asked."""
        self.buckets = {}
        self.forbidden = set()
        self.outages = 0
        self.requests = []
        self.uploads = {}
        self.unknown = []

    def make_bucket(self, name, objects=()):
        self.buckets[name] = {}
        for path, data in dict(objects).items():
            self.store(name, path, data)

    def fill(self, bucket, folder, prefix=""):
        """Copy a folder's files into a bucket, which is made when there is none."""
        self.buckets.setdefault(bucket, {})
        for path in folder.rglob("*"):
            if path.is_file():
                self.store(bucket, f"{prefix}{path.relative_to(folder)}", path.read_bytes())

    def names(self, bucket):
        return sorted(self.buckets[bucket])

    def data(self, bucket, name):
        return self.buckets[bucket][name].data

    def store(self, bucket, name, data, content_type="application/octet-stream"):
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        stored = StoredObject(bytes(data), next(self._numbers), content_type, now)
        self.buckets[bucket][name] = stored
        return stored

    def answer(self, request):
        """Answer a request, or say why not."""
        with self._lock:
            self.requests.append(request)
            try:
                return self._route(request)
            except RefusalError as error:
                if error.status == 501:
                    self.unknown.append(str(error))
                return _refuse(error)
            except Exception as error:  # noqa: BLE001 - of the fake itself, or of what it was sent
                self.unknown.append(f"{request.method} {request.path} {request.query}: {error!r}")
                return _refuse(RefusalError(501, f"{type(error).__name__}: {error}"))

    def _route(self, request):
        for method, pattern, handler in self.routes:
            match = re.fullmatch(pattern, request.path)
            if method == request.method and match:
                if request.path.partition("/b/")[1] or handler == self.get_by_xml_api:
                    self._check_access(request, match)
                    self._check_outage()
                return handler(request, *map(urllib.parse.unquote, match.groups()))
        raise RefusalError(501, f"the fake does not know {request.method} {request.path}")

    def _check_access(self, request, match):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise RefusalError(401, "Anonymous caller does not have access.")
        bucket = urllib.parse.unquote(match[1])
        if bucket in self.forbidden:
            raise RefusalError(403, f"tester does not have access to the bucket {bucket}.")
        if bucket not in self.buckets:
            raise RefusalError(404, "The specified bucket does not exist.")

    def _check_outage(self):
        if self.outages > 0:
            self.outages -= 1
            raise RefusalError(503, "Backend Error")

    def give_token(self, request):
        asked = urllib.parse.parse_qs(request.body.decode())
        if asked["grant_type"] != ["urn:ietf:params:oauth:grant-type:jwt-bearer"]:
            raise RefusalError(400, "invalid_grant")
        return _json({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    def give_locations(self, request):  # where the account may work; this is everywhere
        return _json({"locations": [], "encodedLocations": "0x0"})

    def show_bucket(self, request, bucket):
        request.allow()
        return _json({"kind": "storage#bucket", "name": bucket, "location": "EUROPE-WEST1"})

    def list_objects(self, request, bucket):
        request.allow("prefix", "delimiter", "pageToken", "maxResults")
        prefix = request.query.get("prefix", "")
        delimiter = request.query.get("delimiter", "")
        entries = {}  # object or folder name to whether it is a folder
        for name in self.names(bucket):
            if name.startswith(prefix):
                rest = name[len(prefix) :]
                if delimiter and delimiter in rest:
                    entries[prefix + rest.partition(delimiter)[0] + delimiter] = True
                else:
                    entries[name] = False
        after = base64.b64decode(request.query.get("pageToken", "")).decode()
        waiting = [entry for entry in entries.items() if entry[0] > after]
        page = waiting[: min(int(request.query.get("maxResults", 1000)), self.per_page)]
        found = {
            "items": [self._describe(bucket, name) for name, is_folder in page if not is_folder],
            "prefixes": [name for name, is_folder in page if is_folder],
        }
        answer = {"kind": "storage#objects"} | {key: rows for key, rows in found.items() if rows}
        if len(waiting) > len(page):
            answer["nextPageToken"] = base64.b64encode(page[-1][0].encode()).decode()
        return _json(answer)

    def get_object(self, request, bucket, name):
        request.allow("alt", "generation")
        stored = self._find(bucket, name)
        if request.query.get("generation", str(stored.generation)) != str(stored.generation):
            raise RefusalError(404, f"No such object: {bucket}/{name}, of this generation")
        if request.query.get("alt") == "media":
            return _media(request, stored)
        return _json(self._describe(bucket, name))

    def get_by_xml_api(self, request, bucket, name):
        if request.host != "storage.googleapis.com":
            raise RefusalError(501, f"the fake does not know {request.host}{request.path}")
        return _media(request, self._find(bucket, name))

    def delete_object(self, request, bucket, name):
        request.allow()
        self._find(bucket, name)
        del self.buckets[bucket][name]
        return Answer(204)

    def copy_object(self, request, bucket, name, to_bucket, to_name):
        request.allow()
        if to_bucket not in self.buckets:
            raise RefusalError(404, "The specified bucket does not exist.")
        source = self._find(bucket, name)
        self.store(to_bucket, to_name, source.data, source.content_type)
        size = str(len(source.data))
        resource = self._describe(to_bucket, to_name)
        if request.path.count("/copyTo/"):
            return _json(resource)
        done = {"done": True, "totalBytesRewritten": size, "objectSize": size}
        return _json({"kind": "storage#rewriteResponse", **done, "resource": resource})

    def begin_upload(self, request, bucket):
        request.allow("uploadType", "name", "ifGenerationMatch")
        only_if_new = request.query.get("ifGenerationMatch") == "0"
        if only_if_new and request.query["name"] in self.buckets[bucket]:
            raise RefusalError(412, "At least one of the pre-conditions did not hold.")
        way = request.query.get("uploadType")
        content_type = request.headers.get("Content-Type", "application/octet-stream")
        if way == "media":
            self.store(bucket, request.query["name"], request.body, content_type)
            return _json(self._describe(bucket, request.query["name"]))
        if way == "multipart":
            boundary = re.search(r'boundary="?([^";]+)', content_type)[1].encode()
            _, head, media, end = request.body.split(b"--" + boundary)
            assert end.strip() == b"--"
            name = json.loads(head.partition(b"\r\n\r\n")[2])["name"]
            self.store(bucket, name, media.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"))
            return _json(self._describe(bucket, name))
        if way != "resumable":
            raise RefusalError(400, f"uploadType is {way}")
        name = request.query.get("name") or json.loads(request.body)["name"]
        number = str(next(self._numbers))
        self.uploads[number] = (name, bytearray())
        place = f"https://{request.host}{request.path}?uploadType=resumable&upload_id={number}"
        return Answer(200, headers={"Location": place, "X-GUploader-UploadID": number})

    def go_on_uploading(self, request, bucket):
        name, data = self.uploads[request.query["upload_id"]]
        sent = re.fullmatch(
            r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", request.headers.get("Content-Range", "bytes */*")
        )
        whole = request.headers.get("Content-Range") is None
        start, end, total = sent.groups()
        if whole or (start is None and total == str(len(request.body) + len(data))):
            data += request.body
            total = str(len(data))
        elif start is not None:
            if int(start) != len(data) or int(end) - int(start) + 1 != len(request.body):
                raise RefusalError(400, f"{sent[0]} after {len(data)} bytes")
            data += request.body
            if total == "*" and len(request.body) % CHUNK_BYTES:
                raise RefusalError(400, f"a chunk of {len(request.body)} bytes")
        if total == str(len(data)):
            self.store(bucket, name, data)
            return _json(self._describe(bucket, name))
        received = {"Range": f"bytes=0-{len(data) - 1}"} if data else {}
        return Answer(308, headers=received)

    def answer_batch(self, request):
        boundary = re.search(r'boundary="?([^";]+)', request.headers["Content-Type"])[1]
        answers = []
        for part in request.body.split(b"--" + boundary.encode())[1:-1]:
            inner = part.strip().replace(b"\r\n", b"\n").partition(b"\n\n")[2]
            first = inner.split(b"\n")[0].decode().split()
            url = urllib.parse.urlsplit(first[1])
            query = dict(urllib.parse.parse_qsl(url.query))
            inside = Request(first[0], request.host, url.path, query, request.headers, b"")
            answer = self.answer(inside)
            answers.append(
                f"--batch\r\nContent-Type: application/http\r\n\r\n"
                f"HTTP/1.1 {answer.status} X\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(answer.body)}\r\n\r\n{answer.body.decode()}\r\n"
            )
        body = "".join(answers) + "--batch--\r\n"
        return Answer(200, body.encode(), {"Content-Type": "multipart/mixed; boundary=batch"})

    def _find(self, bucket, name):
        if name not in self.buckets[bucket]:
            raise RefusalError(404, f"No such object: {bucket}/{name}")
        return self.buckets[bucket][name]

    def _describe(self, bucket, name):
        stored = self.buckets[bucket][name]
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "generation": str(stored.generation),
            "size": str(len(stored.data)),
            "contentType": stored.content_type,
            "updated": stored.updated,
            "timeCreated": stored.updated,
            "crc32c": _crc32c(stored.data),
            "md5Hash": base64.b64encode(hashlib.md5(stored.data).digest()).decode(),
        }


def _media(request, stored):
    headers = {
        "Content-Type": stored.content_type,
        "X-Goog-Hash": f"crc32c={_crc32c(stored.data)}",
        "X-Goog-Generation": str(stored.generation),
    }
    asked = request.headers.get("Range")
    if not asked:
        return Answer(200, stored.data, headers)
    start, end = re.fullmatch(r"bytes=(\d+)-(\d*)", asked).groups()
    if int(start) >= len(stored.data):
        raise RefusalError(416, f"{asked} of {len(stored.data)} bytes")
    part = stored.data[int(start) : int(end) + 1 if end else None]
    last = int(start) + len(part) - 1
    headers["Content-Range"] = f"bytes {start}-{last}/{len(stored.data)}"
    return Answer(206, part, headers)


def _refuse(error):
    reason = {401: "required", 403: "forbidden", 404: "notFound"}.get(error.status, "invalid")
    problem = {"domain": "global", "reason": reason, "message": str(error)}
    body = {"code": error.status, "message": str(error), "errors": [problem]}
    return _json({"error": body}, error.status)


def _crc32c(data):
    return base64.b64encode(struct.pack(">I", google_crc32c.value(data))).decode()


def _json(value, status=200):
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})
