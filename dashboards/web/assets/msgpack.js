// MessagePack, as much of it as the stream uses: nil, booleans, integers, floats, strings, binary,
// arrays and maps. Extension types are skipped and read as undefined.
//
// Integers of 64 bits become Numbers. The protocol keeps every integer within 2^53 - 1, where that
// is exact; what lies outside it is refused here rather than rounded.

const text = new TextDecoder("utf-8", { fatal: true });
const bytes = new TextEncoder();

/** Reads exactly one value from a Uint8Array. Throws a RangeError or TypeError on anything else. */
export function decode(buffer) {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  let at = 0;

  const take = (count) => {
    const from = at;
    at += count;
    if (at > buffer.length) throw new RangeError("the message ends inside a value");
    return from;
  };
  const unsigned = (width) => {
    const from = take(width);
    if (width === 1) return view.getUint8(from);
    if (width === 2) return view.getUint16(from);
    if (width === 4) return view.getUint32(from);
    return exact(view.getUint32(from) * 0x100000000 + view.getUint32(from + 4));
  };
  const signed = (width) => {
    const from = take(width);
    if (width === 1) return view.getInt8(from);
    if (width === 2) return view.getInt16(from);
    if (width === 4) return view.getInt32(from);
    return exact(view.getInt32(from) * 0x100000000 + view.getUint32(from + 4));
  };
  const string = (length) => {
    const from = take(length);
    return text.decode(buffer.subarray(from, at));
  };
  const binary = (length) => {
    const from = take(length);
    return buffer.slice(from, at);
  };
  const extension = (length) => {
    take(length + 1);
    return undefined;
  };
  const array = (length) => {
    const items = [];
    for (let i = 0; i < length; i++) items.push(value());
    return items;
  };
  const map = (length) => {
    const entries = Object.create(null);
    for (let i = 0; i < length; i++) {
      const key = value();
      entries[key] = value();
    }
    return entries;
  };

  const value = () => {
    const head = view.getUint8(take(1));
    if (head < 0x80) return head;
    if (head < 0x90) return map(head & 0x0f);
    if (head < 0xa0) return array(head & 0x0f);
    if (head < 0xc0) return string(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return binary(unsigned(1));
      case 0xc5: return binary(unsigned(2));
      case 0xc6: return binary(unsigned(4));
      case 0xc7: return extension(unsigned(1));
      case 0xc8: return extension(unsigned(2));
      case 0xc9: return extension(unsigned(4));
      case 0xca: return view.getFloat32(take(4));
      case 0xcb: return view.getFloat64(take(8));
      case 0xcc: return unsigned(1);
      case 0xcd: return unsigned(2);
      case 0xce: return unsigned(4);
      case 0xcf: return unsigned(8);
      case 0xd0: return signed(1);
      case 0xd1: return signed(2);
      case 0xd2: return signed(4);
      case 0xd3: return signed(8);
      case 0xd4: return extension(1);
      case 0xd5: return extension(2);
      case 0xd6: return extension(4);
      case 0xd7: return extension(8);
      case 0xd8: return extension(16);
      case 0xd9: return string(unsigned(1));
      case 0xda: return string(unsigned(2));
      case 0xdb: return string(unsigned(4));
      case 0xdc: return array(unsigned(2));
      case 0xdd: return array(unsigned(4));
      case 0xde: return map(unsigned(2));
      case 0xdf: return map(unsigned(4));
      default: throw new TypeError("0xc1 is no MessagePack value");
    }
  };

  const whole = value();
  if (at !== buffer.length) throw new RangeError(`${buffer.length - at} bytes follow the message`);
  return whole;
}

function exact(number) {
  if (!Number.isSafeInteger(number)) throw new RangeError("an integer beyond 2^53 - 1");
  return number;
}

/** Writes null, booleans, safe integers, strings, arrays and plain objects; a Uint8Array. */
export function encode(value) {
  const out = [];
  const big = (number, width) => {
    for (let shift = width - 1; shift >= 0; shift--) out.push(Math.floor(number / 256 ** shift) % 256);
  };
  const length = (count, small, limit, wide) => {
    if (count < limit) out.push(small | count);
    else {
      out.push(count < 0x10000 ? wide : wide + 1);
      big(count, count < 0x10000 ? 2 : 4);
    }
  };
  const write = (item) => {
    if (item === null) out.push(0xc0);
    else if (typeof item === "boolean") out.push(item ? 0xc3 : 0xc2);
    else if (typeof item === "number") integer(exact(item));
    else if (typeof item === "string") {
      const utf8 = bytes.encode(item);
      length(utf8.length, 0xa0, 32, 0xda);
      for (const byte of utf8) out.push(byte);
    } else if (Array.isArray(item)) {
      length(item.length, 0x90, 16, 0xdc);
      item.forEach(write);
    } else {
      const entries = Object.entries(item).filter(([, inner]) => inner !== undefined);
      length(entries.length, 0x80, 16, 0xde);
      for (const [key, inner] of entries) {
        write(key);
        write(inner);
      }
    }
  };
  const integer = (number) => {
    if (number >= 0 && number < 0x80) out.push(number);
    else if (number < 0 && number >= -0x20) out.push(number + 0x100);
    else if (number >= 0) {
      out.push(0xcf);
      big(number, 8);
    } else throw new RangeError("no command has such a number");
  };
  write(value);
  return Uint8Array.from(out);
}
