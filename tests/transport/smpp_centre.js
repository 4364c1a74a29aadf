// A message centre by the package smpp of npm: takes every message, reports on it, and says what
// it has seen in JSON, a line each. It listens on any free port, the first thing that it says.
'use strict';
const smpp = require('smpp');
const say = (what) => console.log(JSON.stringify(what));

let count = 0;
const server = smpp.createServer((session) => {
  session.on('error', () => {});
  session.on('bind_transceiver', (pdu) => {
    const good = pdu.system_id === 'esme1' && pdu.password === 'secret';
    session.send(pdu.response({ command_status: good ? 0 : 0x0e, system_id: 'node' }));
    session.enquire_link({}, (answer) => say({ enquired: answer.command }));
  });
  session.on('submit_sm', (pdu) => {
    const id = String(++count);
    say({
      source: pdu.source_addr,
      to: pdu.destination_addr,
      coding: pdu.data_coding,
      text: pdu.short_message.message || pdu.message_payload.message,
      udh: pdu.short_message.udh ? pdu.short_message.udh.map((one) => one.toString('hex')) : [],
      validity: pdu.validity_period !== null,
    });
    session.send(pdu.response({ message_id: id }));
    session.deliver_sm(
      {
        esm_class: 4,
        source_addr: pdu.destination_addr,
        destination_addr: pdu.source_addr,
        short_message: `id:${id} sub:001 dlvrd:001 submit date:2601020304 done date:2601020305 ` +
          'stat:DELIVRD err:000 text:',
        receipted_message_id: id,
        message_state: 2,
      },
      (answer) => say({ receipt: answer.command_status }),
    );
  });
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
    say({ unbound: true });
  });
});
server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
