#!/usr/bin/python3
"""Qpid Proton as a client of the embedded broker.

Usage: proton_client.py URL. Prints one line per check; exits with 1 at the first that fails, and with 3 if Proton is
missing.
"""

import sys
import time
import uuid

try:
    from proton import Condition, Disposition, Message, symbol, timestamp, ulong
    from proton.reactor import AtMostOnce, LinkOption
    from proton.utils import BlockingConnection, LinkDetached, SendException
except ImportError as missing:
    print("Qpid Proton for Python is missing (Debian: apt-get install python3-qpid-proton): %s" % missing)
    sys.exit(3)

URL = sys.argv[1]
TIMEOUT = 20
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def connect(url=URL, **options):
    return BlockingConnection(url, timeout=TIMEOUT, allowed_mechs=options.pop("mechs", None), **options)


def fresh(prefix="proton"):
    return "%s-%s" % (prefix, uuid.uuid4())


def send(connection, address, message):
    sender = connection.create_sender(address)
    delivery = sender.send(message)
    assert delivery.remote_state == Disposition.ACCEPTED, delivery.remote_state
    sender.close()


def modify(receiver, failed=False, undeliverable=False, annotations=None):
    delivery = receiver.fetcher.unsettled.popleft()
    delivery.local.failed = failed
    delivery.local.undeliverable = undeliverable
    delivery.local.annotations = annotations
    delivery.update(Disposition.MODIFIED)
    delivery.settle()


def equal(actual, expected):
    assert actual == expected, "expected %r, found %r" % (expected, actual)


@check
def the_broker_introduces_itself():
    connection = connect()
    equal(connection.conn.remote_properties[symbol("product")], "rr-jobs embedded broker")
    offered = [str(name) for name in connection.conn.remote_offered_capabilities]
    equal(offered, ["ANONYMOUS-RELAY", "DELAYED_DELIVERY", "LINK_PAIR_V1_0"])
    connection.close()


@check
def plain_and_anonymous_log_in_and_a_wrong_password_does_not():
    address = URL.split("@")[-1]
    connect("amqp://" + address, mechs="ANONYMOUS").close()
    connect("amqp://guest:guest@" + address, mechs="PLAIN").close()
    try:
        connect("amqp://guest:wrong@" + address, mechs="PLAIN", reconnect=False).close()
    except Exception as refused:
        assert "Authentication" in str(refused) or "unauthorized" in str(refused), refused
    else:
        raise AssertionError("a wrong password was let in")


@check
def a_message_comes_out_as_it_went_in():
    connection, queue = connect(), fresh()
    sent = Message(
        id="id-1",
        subject="subject",
        content_type="application/json",
        correlation_id=ulong(7),
        properties={"rr_job": "name", "number": 7, "flag": True},
        annotations={symbol("x-own"): "kept"},
        priority=7,
        durable=True,
        body={"list": [1, "two", 3.0], "nothing": None},
    )
    send(connection, "/queues/" + queue, sent)
    receiver = connection.create_receiver("/queues/" + queue, credit=1)
    got = receiver.receive()
    for field in ("id", "subject", "content_type", "correlation_id", "properties", "body", "priority", "durable"):
        equal(getattr(got, field), getattr(sent, field))
    equal(got.annotations[symbol("x-own")], "kept")
    equal(got.delivery_count, 0)
    receiver.accept()
    connection.close()


@check
def a_large_message_comes_out_whole():
    connection, queue = connect(), fresh()
    body = bytes(range(256)) * 8192
    send(connection, queue, Message(body=body))
    receiver = connection.create_receiver(queue, credit=1)
    equal(len(receiver.receive().body), len(body))
    receiver.accept()
    connection.close()


@check
def every_address_form_names_the_same_queue():
    connection, queue = connect(), fresh()
    for form in ("/queues/", "/queue/", "/amq/queue/", ""):
        send(connection, form + queue, Message(body=form))
    receiver = connection.create_receiver(queue, credit=10)
    for form in ("/queues/", "/queue/", "/amq/queue/", ""):
        equal(receiver.receive().body, form)
        receiver.accept()
    connection.close()


@check
def released_comes_again_uncounted_and_modified_counted():
    connection, queue = connect(), fresh()
    send(connection, queue, Message(body="x"))
    receiver = connection.create_receiver(queue, credit=10)
    equal(receiver.receive().delivery_count, 0)
    receiver.release(delivered=False)
    equal(receiver.receive().delivery_count, 0)
    modify(receiver, failed=True)
    equal(receiver.receive().delivery_count, 1)
    receiver.accept()
    connection.close()


@check
def rejected_goes_to_the_dead_letter_queue_with_its_reason():
    connection, queue = connect(), fresh()
    send(connection, queue, Message(body="x"))
    receiver = connection.create_receiver(queue, credit=10)
    receiver.receive()
    delivery = receiver.fetcher.unsettled.popleft()
    delivery.local.condition = Condition("amqp:decode-error", "not a job")
    delivery.update(Disposition.REJECTED)
    delivery.settle()
    dead = connection.create_receiver(queue + ".dlq", credit=1)
    message = dead.receive()
    equal(message.body, "x")
    equal(message.annotations[symbol("x-opt-deadletter-source")], queue)
    equal(message.annotations[symbol("x-opt-deadletter-reason")], "rejected")
    equal(str(message.annotations[symbol("x-opt-deadletter-condition")]), "amqp:decode-error")
    equal(message.annotations[symbol("x-opt-deadletter-description")], "not a job")
    dead.accept()
    connection.close()


@check
def undeliverable_here_goes_to_the_dead_letter_queue_with_annotations():
    connection, queue = connect(), fresh()
    send(connection, queue, Message(body="x"))
    receiver = connection.create_receiver(queue, credit=10)
    receiver.receive()
    modify(receiver, undeliverable=True, annotations={symbol("x-opt-why"): "bad"})
    dead = connection.create_receiver(queue + ".dlq", credit=1)
    message = dead.receive()
    equal(message.annotations[symbol("x-opt-why")], "bad")
    equal(message.annotations[symbol("x-opt-deadletter-reason")], "undeliverable-here")
    dead.accept()
    connection.close()


@check
def a_delayed_message_waits():
    connection, queue = connect(), fresh()
    begun = time.time()
    due = int(begun * 1000) + 400
    send(connection, queue, Message(body="later", annotations={symbol("x-opt-delivery-time"): timestamp(due)}))
    send(connection, queue, Message(body="now"))
    receiver = connection.create_receiver(queue, credit=10)
    equal(receiver.receive().body, "now")
    receiver.accept()
    equal(receiver.receive().body, "later")
    receiver.accept()
    assert time.time() * 1000 >= due, "it came too early"
    connection.close()


@check
def an_expired_message_is_dead():
    connection, queue = connect(), fresh()
    send(connection, queue, Message(body="x", ttl=0.05))
    dead = connection.create_receiver(queue + ".dlq", credit=1)
    equal(dead.receive().annotations[symbol("x-opt-deadletter-reason")], "expired")
    dead.accept()
    connection.close()


@check
def more_urgent_messages_come_first():
    connection, queue = connect(), fresh()
    for priority in (1, 4, 9, 0):
        send(connection, queue, Message(body=str(priority), priority=priority))
    receiver = connection.create_receiver(queue, credit=10)
    for expected in ("9", "4", "1", "0"):
        equal(receiver.receive().body, expected)
        receiver.accept()
    connection.close()


@check
def a_drain_is_answered():
    connection, queue = connect(), fresh()
    send(connection, queue, Message(body="x"))
    receiver = connection.create_receiver(queue, credit=0)
    receiver.link.drain(5)
    connection.wait(lambda: not receiver.link.draining(), msg="the drain is not answered")
    equal(receiver.link.credit, 0)
    equal(len(receiver.fetcher.incoming), 1)
    equal(receiver.receive().body, "x")
    receiver.accept()
    connection.close()


@check
def a_settled_link_acknowledges_by_taking():
    connection, queue = connect(), fresh()
    send(connection, queue, Message(body="x"))
    receiver = connection.create_receiver(queue, credit=1, options=AtMostOnce())
    equal(receiver.receive().body, "x")
    connection.close()


@check
def the_anonymous_terminus_routes_by_to():
    connection, queue = connect(), fresh()
    sender = connection.create_sender(None)
    sender.send(Message(address="/queues/" + queue, body="x"))
    receiver = connection.create_receiver(queue, credit=1)
    equal(receiver.receive().body, "x")
    receiver.accept()
    try:
        sender.send(Message(address="/exchanges/none", body="x"))
    except SendException as rejected:
        equal(rejected.state, Disposition.REJECTED)
    else:
        raise AssertionError("a message to nowhere was accepted")
    connection.close()


@check
def a_bad_address_is_refused_and_the_connection_lives_on():
    connection = connect()
    for address, condition in (("/exchanges/e/k", "amqp:not-found"), ("/queues/%zz", "amqp:invalid-field")):
        for attach in (connection.create_sender, connection.create_receiver):
            try:
                attach(address)
            except LinkDetached as refused:
                equal(refused.condition, condition)
            else:
                raise AssertionError("%s was attached" % address)
    send(connection, fresh(), Message(body="x"))
    connection.close()


@check
def competing_consumers_share_and_nothing_is_delivered_twice():
    connection, queue = connect(), fresh()
    first = connection.create_receiver(queue, credit=100, name="first")
    second = connection.create_receiver(queue, credit=100, name="second")
    sender = connection.create_sender(queue)
    for number in range(40):
        sender.send(Message(body=number))
    both = (first, second)
    connection.wait(lambda: sum(len(receiver.fetcher.incoming) for receiver in both) == 40)
    seen = []
    for receiver in both:
        share = len(receiver.fetcher.incoming)
        assert share >= 10, "one of two consumers got %d of 40" % share
        for _ in range(share):
            seen.append(receiver.receive().body)
            receiver.accept()
    equal(sorted(seen), list(range(40)))
    connection.close()


@check
def a_closed_connection_gives_back_what_it_had():
    connection, queue = connect(), fresh()
    send(connection, queue, Message(body="x"))
    connection.create_receiver(queue, credit=1).receive()
    connection.close()
    connection = connect()
    receiver = connection.create_receiver(queue, credit=1)
    equal(receiver.receive().delivery_count, 0)
    receiver.accept()
    connection.close()


class Paired(LinkOption):
    """The properties of one half of a link pair."""

    def apply(self, link):
        link.properties = {symbol("paired"): True}
        link.source.address = "/management"
        link.target.address = "/management"

    def test(self, link):
        return True


@check
def queues_are_managed_over_a_link_pair():
    connection, queue = connect(), fresh("a/b")
    path = "/queues/" + queue.replace("/", "%2F")
    requests = connection.create_sender("/management", name="pair", options=[Paired(), AtMostOnce()])
    replies = connection.create_receiver("/management", name="pair", credit=10, options=[Paired()])

    def ask(method, target, body):
        requests.link.send(Message(id=1, subject=method, address=target, reply_to="$me", body=body))
        reply = replies.receive()
        equal(reply.correlation_id, 1)
        return reply.subject, reply.body

    equal(ask("PUT", path, {"durable": True, "arguments": {"x-queue-type": "quorum"}})[0], "201")
    send(connection, path, Message(body="x"))
    status, body = ask("GET", path, None)
    equal(status, "200")
    equal((body["name"], body["message_count"], body["consumer_count"], body["type"]), (queue, 1, 0, "quorum"))
    equal((body["messages_delayed"], body["messages_unacknowledged"]), (0, 0))
    equal(ask("DELETE", path + "/messages", None), ("200", {"message_count": 1}))
    equal(ask("PUT", "/exchanges/e", {"type": "topic"})[0], "400")
    equal(ask("DELETE", path, None)[0], "200")
    equal(ask("GET", path, None)[0], "404")
    connection.close()


def main():
    for function in CHECKS:
        name = function.__name__.replace("_", " ")
        try:
            function()
        except Exception as error:
            print("failed: %s: %s: %s" % (name, type(error).__name__, error), flush=True)
            raise
        print("ok: %s" % name, flush=True)


main()
