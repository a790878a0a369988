// Rooms over socket.io or over bare ws, configured as their manuals say for many small messages: WebSockets from
// the beginning, no compression. What is published in a room goes to all who are in it.

import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { WebSocketServer } from 'ws';

const { KIND, PORT } = process.env;

const http = createServer((request, response) => {
  response.writeHead(request.url === '/healthz' ? 200 : 404).end();
});
// As many as the kernel lets wait, for many connect at once.
http.listen({ port: Number(PORT), host: '127.0.0.1', backlog: 4096 });

if (KIND === 'socket.io') {
  const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, serveClient: false });
  io.on('connection', (socket) => {
    // The manual's advice on memory: the first request is not needed any more.
    socket.conn.request = null;
    socket.on('subscribe', (room, acknowledge) => {
      socket.join(room);
      acknowledge();
    });
    socket.on('publish', (room, data) => io.to(room).emit('update', data));
  });
} else {
  const rooms = new Map();
  const server = new WebSocketServer({ server: http, path: '/ws', perMessageDeflate: false });
  server.on('connection', (socket) => {
    socket.on('message', (message) => {
      const { op, room, data } = JSON.parse(message);
      if (op === 'subscribe') {
        let members = rooms.get(room);
        if (!members) rooms.set(room, (members = new Set()));
        members.add(socket);
        socket.on('close', () => members.delete(socket));
        socket.send('{"ok":{}}');
      } else if (op === 'publish') {
        const text = Buffer.from(JSON.stringify({ room, data }));
        for (const member of rooms.get(room) ?? []) member.send(text, { binary: false });
      }
    });
  });
}
