// Node with `ws`: a set of sockets for each symbol, as its users write it.
import { WebSocketServer } from "ws";
import { names, run } from "./market.js";

const subscribers = new Map(names.map((name) => [name, new Set()]));
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", backlog: 4096, perMessageDeflate: false });

server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (text) => {
    for (const name of JSON.parse(text).subscribe) subscribers.get(name).add(socket);
  });
  socket.on("close", () => {
    for (const sockets of subscribers.values()) sockets.delete(socket);
  });
});

server.on("listening", () => {
  console.log(`listening 127.0.0.1:${server.address().port}`);
  run((name, message) => {
    for (const socket of subscribers.get(name)) socket.send(message);
  });
});
