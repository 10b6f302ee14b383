#!/usr/bin/env node
// The client of rhea: ADDRESS send|receive OCTETS IN_FLIGHT WARM_UP SECONDS, then one line of JSON.
//
// Callbacks, as its examples do it: messages go out when there is credit and once confirmations have come; received ones are
// accepted by the library, which also tops up the credit.
'use strict';

const rhea = require('rhea');

const [address, way, octets, inFlight, warmUp, measured] = process.argv.slice(2)
    .map((argument, place) => (place < 2 ? argument : Number(argument)));
const [host, port] = address.split(':');

// Counts messages between the warm-up and the end. The clock is looked at once in 64 messages, as in every client.
let messages = 0;
let before = 0;
let begun = performance.now();
let processor;
let done = false;

function tick() {
    messages += 1;
    if (messages % 64 !== 0) return;
    const now = performance.now();
    const elapsed = (now - begun) / 1e3;
    if (processor === undefined) {
        if (elapsed < warmUp) return;
        begun = now;
        before = messages;
        processor = process.cpuUsage();
    } else if (elapsed >= measured) {
        done = true;
        const used = process.cpuUsage(processor);
        const figures = {
            messages: messages - before,
            seconds: elapsed,
            processor_seconds: (used.user + used.system) / 1e6,
        };
        // The exit waits for the octets, not for what is still under way.
        process.stdout.write(JSON.stringify(figures) + '\n', () => connection.close());
    }
}

const body = rhea.message.data_section(Buffer.alloc(octets, 'x'));
let underWay = 0;

function fill(sender) {
    while (!done && underWay < inFlight && sender.sendable()) {
        sender.send({ body });
        underWay += 1;
    }
}

const container = rhea.create_container();
container.on('sendable', (context) => fill(context.sender));
container.on('accepted', (context) => {
    underWay -= 1;
    if (done) return;
    tick();
    fill(context.sender);
});
container.on('message', (context) => {
    if (done) return;
    if (context.message.body.content.length !== octets) throw new Error('another body than expected');
    tick();
});
for (const failure of ['rejected', 'released', 'modified', 'disconnected', 'connection_error']) {
    container.on(failure, () => {
        if (done) return;
        process.stderr.write(`rhea: ${failure}\n`);
        process.exit(1);
    });
}
container.on('connection_close', () => process.exit(0));

const connection = container.connect({
    host, port: Number(port), username: 'anonymous', reconnect: false, tcp_no_delay: true,
});
if (way === 'send') {
    connection.open_sender('sink');
} else {
    connection.open_receiver({ source: String(octets), credit_window: inFlight });
}
