// Which proposals beyond WebAssembly 1.0 does a module need? V8 cannot tell, so this reads the code: sections,
// types and every opcode. Opcodes that it does not know are named by their number, and so never pass unseen.
// Format: WebAssembly Core Specification 3.0, chapter 5.

export function featuresOf(module: Uint8Array): Set<string> {
  const reader = new Reader(module);
  reader.at = 8;
  while (reader.at < module.length) {
    const id = reader.byte();
    const end = reader.u32() + reader.at;
    readSection(reader, id, end);
    reader.at = end;
  }
  return reader.features;
}

class Reader {
  at = 0;
  readonly bytes: Uint8Array;
  readonly features = new Set<string>();

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  byte(): number {
    if (this.at >= this.bytes.length) throw new Error('the module ends too early');
    return this.bytes[this.at++]!;
  }

  /** LEB128 of any kind: only small unsigned values are looked at. */
  u32(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  skip(count: number): void {
    for (; count > 0; count--) this.u32();
  }
}

const NUMBERS = new Set([0x7f, 0x7e, 0x7d, 0x7c]);

function valueType(reader: Reader): void {
  const type = reader.byte();
  if (type === 0x7b) reader.features.add('simd');
  else if (type === 0x70 || type === 0x6f) reader.features.add('reference-types');
  else if (!NUMBERS.has(type)) reader.features.add(`type 0x${type.toString(16)}`);
}

function limits(reader: Reader): void {
  const flags = reader.byte();
  if (flags & 2) reader.features.add('threads');
  if (flags & 4) reader.features.add('memory64');
  reader.skip(flags & 1 ? 2 : 1);
}

function readSection(reader: Reader, id: number, end: number): void {
  const { features } = reader;
  const count = id === 0 || id === 8 ? 0 : reader.u32();
  const each = (read: () => void) => {
    for (let i = 0; i < count; i++) read();
  };
  switch (id) {
    case 1: // types
      return each(() => {
        if (reader.byte() !== 0x60) return void features.add('gc');
        for (let i = reader.u32(); i > 0; i--) valueType(reader);
        const results = reader.u32();
        if (results > 1) features.add('multi-value');
        for (let i = results; i > 0; i--) valueType(reader);
      });
    case 2: // imports
      if (count > 0) features.add('imports');
      return;
    case 4: // tables
      if (count > 1) features.add('reference-types');
      return;
    case 5: // memories
      if (count > 1) features.add('multi-memory');
      return each(() => limits(reader));
    case 6: // globals
      return each(() => {
        valueType(reader);
        reader.byte();
        while (instruction(reader) !== 0x0b);
      });
    case 7: // exports
      return each(() => {
        const nameSize = reader.u32();
        reader.at += nameSize;
        if (reader.byte() === 3) features.add('mutable-globals');
        reader.u32();
      });
    case 10: // code
      return each(() => {
        const bodyEnd = reader.u32() + reader.at;
        for (let i = reader.u32(); i > 0; i--) {
          reader.u32();
          valueType(reader);
        }
        while (reader.at < bodyEnd) instruction(reader);
      });
    case 12:
      return void features.add('bulk-memory');
    case 13:
      return void features.add('exceptions');
  }
  if (![0, 3, 8, 9, 11].includes(id)) features.add(`section ${id}`);
  reader.at = end;
}

/** Reads one instruction and gives its opcode. */
function instruction(reader: Reader): number {
  const opcode = reader.byte();
  const { features } = reader;
  if (opcode === 0xfc) {
    const sub = reader.u32();
    if (sub <= 7) features.add('nontrapping-fptoint');
    else if (sub <= 11) {
      features.add('bulk-memory');
      reader.skip(sub === 9 || sub === 11 ? 1 : 2);
    } else features.add(`opcode 0xfc ${sub}`);
  } else if (opcode === 0xfd) features.add('simd');
  else if (opcode === 0xfe) features.add('threads');
  else if (opcode === 0xfb) features.add('gc');
  else if (opcode === 0x12 || opcode === 0x13) features.add('tail-call');
  else if ((opcode >= 0x06 && opcode <= 0x0a) || opcode === 0x18 || opcode === 0x19 || opcode === 0x1f)
    features.add('exceptions');
  else if (opcode >= 0x02 && opcode <= 0x04) blockType(reader);
  else if (opcode === 0x0e) reader.skip(reader.u32() + 1);
  else if (opcode === 0x0c || opcode === 0x0d || opcode === 0x10 || (opcode >= 0x20 && opcode <= 0x24))
    reader.u32();
  else if (opcode === 0x11) reader.skip(2);
  else if (opcode >= 0x28 && opcode <= 0x3e) {
    if (reader.u32() >= 64) features.add('multi-memory');
    reader.u32();
  } else if (opcode === 0x3f || opcode === 0x40 || opcode === 0x41 || opcode === 0x42) reader.u32();
  else if (opcode === 0x43) reader.at += 4;
  else if (opcode === 0x44) reader.at += 8;
  else if (opcode >= 0xc0 && opcode <= 0xc4) features.add('sign-extension');
  else if (!(
    opcode <= 0x01 ||
    opcode === 0x05 ||
    opcode === 0x0b ||
    opcode === 0x0f ||
    opcode === 0x1a ||
    opcode === 0x1b ||
    (opcode >= 0x45 && opcode <= 0xbf)
  )) {
    features.add(`opcode 0x${opcode.toString(16)}`);
  }
  return opcode;
}

function blockType(reader: Reader): void {
  const type = reader.bytes[reader.at]!;
  if (type === 0x40 || NUMBERS.has(type)) reader.at++;
  else {
    reader.features.add('multi-value');
    reader.u32();
  }
}
