"""One file of a package on PyPI, by name and SHA-256. Nothing of it is run: pip would prepare a source package's metadata,
for which it runs that package's build and whatever this asks for.
"""
import hashlib
import html
import http.client
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path


def index_url():
    """That of pip, which may be a mirror."""
    configured = os.environ.get("PIP_INDEX_URL") or subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True).stdout.strip()
    return (configured or "https://pypi.org/simple").rstrip("/")


def sha256_of(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(cache, name, sha256):
    """The file `name` in the directory `cache`, downloaded where it is not there. Raises `OSError` where that fails, and
    `ValueError` where its bytes are not those of `sha256`. Several processes may do so at once."""
    try:
        return fetch_file(Path(cache) / name, name, sha256)
    except http.client.HTTPException as error:  # a connection that was cut
        raise OSError(f"{type(error).__name__}: {error}") from error


def fetch_file(path, name, sha256):
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
        page = f"{index_url()}/{name.split('-')[0].lower().replace('_', '-')}/"
        with urllib.request.urlopen(page, context=context, timeout=60) as stream:
            links = [html.unescape(link) for link in re.findall(r'href="([^"]*)"', stream.read().decode())]
        link = next((link for link in links if urllib.parse.urlparse(link).path.endswith("/" + name)), None)
        if link is None:
            raise OSError(f"{page} has no {name}")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=name, suffix=".partial", delete=False) as target:
            try:
                with urllib.request.urlopen(urllib.parse.urljoin(page, link), context=context, timeout=60) as source:
                    shutil.copyfileobj(source, target)
                    size = source.headers.get("Content-Length")
                target.close()
                if size is not None and os.path.getsize(target.name) != int(size):
                    raise OSError(f"{name}: the connection was cut")
                check(target.name, name, sha256)
                os.replace(target.name, path)
            except BaseException:
                os.unlink(target.name)
                raise
    else:
        check(path, name, sha256)
    return path


def check(path, name, sha256):
    found = sha256_of(path)
    if found != sha256:
        raise ValueError(f"{name}: SHA-256 is {found}, expected {sha256}")
