// Bun's own WebSocket server (uWebSockets): a topic for each symbol.
import { run } from "./market.js";

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("WebSocket only", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    message(socket, text) {
      for (const name of JSON.parse(text).subscribe) socket.subscribe(name);
    },
  },
});

console.log(`listening 127.0.0.1:${server.port}`);
run((name, message) => server.publish(name, message));
