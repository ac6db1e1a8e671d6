"""The fault proxy: bytes pass unread, and each fault does what it says, once."""

import contextlib
import socket
import socketserver
import threading
import time

import pytest
from tests.waiting import PATIENCE, until

from rota.testing.proxy import FaultProxy


class Echo(socketserver.StreamRequestHandler):
    """Answers each line with itself, and remembers it."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            for line in self.rfile:
                self.server.seen.append(line)
                self.wfile.write(line)


@pytest.fixture
def server():
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.seen = []
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(server):
    with FaultProxy(*server.server_address) as proxy:
        yield proxy


class Client:
    def __init__(self, proxy, timeout=PATIENCE):
        self.socket = socket.create_connection(("127.0.0.1", proxy.port), timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, line):
        self.socket.sendall(line)
        return self.answer()

    def answer(self):
        return self.socket.recv(100)


def asked(server, line):
    return until(lambda: line in server.seen)


def test_it_passes_on_what_it_is_not_told_to_hinder(proxy):
    with Client(proxy) as one, Client(proxy) as other:
        assert [one.ask(b"a\n"), other.ask(b"b\n"), one.ask(b"c\n")] == [b"a\n", b"b\n", b"c\n"]


def test_a_reply_is_lost_after_its_request_was_carried_out(proxy, server):
    with Client(proxy) as client:
        proxy.lose_reply(2)
        assert client.ask(b"a\n") == b"a\n"
        assert not proxy.fired
        with pytest.raises(ConnectionResetError):
            client.ask(b"b\n")
        assert proxy.fired
        assert asked(server, b"b\n")
    with Client(proxy) as client:
        assert client.ask(b"c\n") == b"c\n"


def test_half_a_request_is_not_carried_out(proxy, server):
    with Client(proxy) as client:
        proxy.cut_request()
        with pytest.raises(ConnectionResetError):
            client.ask(b"abcd\n")
    with Client(proxy) as client:
        client.ask(b"after\n")
    assert b"abcd\n" not in server.seen


def test_it_hangs_and_goes_on_with_what_was_sent(proxy):
    with Client(proxy) as client:
        client.ask(b"a\n")
        client.socket.settimeout(0.2)
        proxy.hang()
        with pytest.raises(TimeoutError):
            client.ask(b"b\n")
        with Client(proxy, timeout=0.2) as late, pytest.raises(TimeoutError):
            late.ask(b"c\n")
        proxy.restore()
        client.socket.settimeout(PATIENCE)
        assert client.answer() == b"b\n"


def test_it_refuses_until_it_is_restored_at_the_same_port(proxy):
    port = proxy.port
    with Client(proxy) as client:
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.answer()
        with pytest.raises(ConnectionRefusedError):
            Client(proxy)
    proxy.restore()
    assert proxy.port == port
    with Client(proxy) as client:
        assert client.ask(b"a\n") == b"a\n"


def test_a_reset_ends_what_is_open_and_nothing_else(proxy):
    with Client(proxy) as client:
        client.ask(b"a\n")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.answer()
    with Client(proxy) as client:
        assert client.ask(b"b\n") == b"b\n"


def test_replies_are_held_back(proxy):
    with Client(proxy) as client:
        proxy.delay(0.2)
        before = time.monotonic()
        assert client.ask(b"a\n") == b"a\n"
        assert time.monotonic() - before >= 0.2
        proxy.restore()
        assert client.ask(b"b\n") == b"b\n"
