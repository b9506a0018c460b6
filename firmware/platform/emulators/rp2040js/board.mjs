// SPDX-License-Identifier: Apache-2.0
// A Raspberry Pi Pico in rp2040js. SIGTERM ends it: all that is counted has been written by then.
//
//   node board.mjs MODULES ELF PATH [region=NAME:BEGIN:END]... [out=FILE [owners=FILE]] [memory=PATH]
//        [flash=IMAGE]
//
// MODULES is the folder where npm has installed rp2040js. The link, UART0, is the pseudo-terminal
// whose one end is this process's file descriptor 3, and whose other end has the name PATH, which is
// printed once the firmware runs.
//
// With out=FILE the cycles of regions are counted as firmware/platform/emulators/qemu counts
// instructions, into lines of the same form. The emulator's cycles are those of a Cortex-M0+ whose
// flash answers at once: it has no model of the flash's cache. memory=PATH is a socket that answers
// lines "ADDRESS BYTES" with that many bytes of SRAM. flash=IMAGE is the file that the firmware may open
// by semihosting: the emulator has no model of how a flash is programmed.
import fs from 'node:fs';
import {createRequire} from 'node:module';
import net from 'node:net';
import path from 'node:path';

const LINK = 3;
const LEAST_NODE = 18;
const FLASH = 0x10000000;
const SRAM = 0x20000000;
const BOOT2_BYTES = 256;
const BOOT2_RUNS_AT = 0x20041f00;
const SLICE = 100000; // instructions between looks at the link
const LOOK = 64; // instructions between looks at the bytes that have come
const BITS_OF_A_BYTE = 10; // with start and stop
const LOAD = 1; // p_type of an ELF segment with contents

function stop(message) {
  console.log(`error: ${message}`);
  process.exit(1);
}

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
    }
  }
  return crc >>> 0;
}

// Puts the segments of a firmware into flash, and what is painted into SRAM.
function load(mcu, elf) {
  if (elf.length < 52 || elf.readUInt32BE(0) !== 0x7f454c46) {
    stop('the firmware is no ELF file');
  }
  const [table, size, count] = [elf.readUInt32LE(28), elf.readUInt16LE(42), elf.readUInt16LE(44)];
  for (let at = table; at < table + size * count; at += size) {
    const [type, offset, , address, held] = [0, 4, 8, 12, 16].map((n) => elf.readUInt32LE(at + n));
    if (type === LOAD && held > 0) {
      const bytes = elf.subarray(offset, offset + held);
      if (address >= FLASH && address + held <= FLASH + mcu.flash.length) {
        mcu.flash.set(bytes, address - FLASH);
      } else if (address >= SRAM && address + held <= SRAM + mcu.sram.length) {
        mcu.sram.set(bytes, address - SRAM);
      } else {
        stop(`the firmware has bytes at 0x${address.toString(16)}, where the board has no memory`);
      }
    }
  }
}

// What the boot ROM does with a flash that holds a program (RP2040 datasheet 2.8.1).
function boot(mcu) {
  const boot2 = mcu.flash.subarray(0, BOOT2_BYTES);
  const stored = mcu.flashView.getUint32(BOOT2_BYTES - 4, true);
  const computed = crc32(boot2.subarray(0, BOOT2_BYTES - 4));
  if (stored !== computed) {
    const [said, is] = [stored, computed].map((crc) => crc.toString(16).padStart(8, '0'));
    stop(`the second stage of the boot has the CRC ${is}, and says ${said}: the ROM refuses it`);
  }
  mcu.sram.set(boot2, BOOT2_RUNS_AT - SRAM);
  mcu.core.SP = SRAM + 0x42000;
  mcu.core.PC = BOOT2_RUNS_AT;
}

// Counts cycles of regions, by owner if there are any. `marks` says of each halfword of the flash
// whether something begins, ends or changes there.
class Counter {
  constructor(core, regions, owners, out) {
    this.core = core;
    this.out = fs.openSync(out, 'w');
    this.marks = new Uint8Array(2 ** 20);
    this.begins = new Map();
    this.ends = new Map();
    this.owners = new Map();
    this.hasOwners = owners.length > 0;
    this.owner = 0;
    this.turnBegan = 0;
    this.owned = new Map();
    for (const [name, begin, end] of regions) {
      const region = {name, began: 0, isRunning: false};
      this.begins.set(begin, [...(this.begins.get(begin) ?? []), region]);
      this.ends.set(end, [...(this.ends.get(end) ?? []), region]);
      this.mark(begin);
      this.mark(end);
    }
    for (const [begin, end, owner] of owners) {
      for (let address = begin; address < end; address += 2) {
        this.owners.set(address, owner);
        this.mark(address);
      }
    }
  }

  mark(address) {
    this.marks[(address - FLASH) >>> 1] = 1;
  }

  endTurn() {
    const cycles = this.core.cycles - this.turnBegan;
    this.owned.set(this.owner, (this.owned.get(this.owner) ?? 0) + cycles);
  }

  beginTurn(owner) {
    this.owner = owner;
    this.turnBegan = this.core.cycles;
  }

  // Before the instruction at a marked address.
  at(address) {
    for (const region of this.ends.get(address) ?? []) {
      if (region.isRunning) {
        region.isRunning = false;
        this.write(region);
      }
    }
    for (const region of this.begins.get(address) ?? []) {
      region.began = this.core.cycles;
      region.isRunning = true;
      this.owned.clear();
      this.beginTurn(0);
    }
    const owner = this.owners.get(address);
    if (owner !== undefined) {
      this.endTurn();
      this.beginTurn(owner);
    }
  }

  write(region) {
    let line = `${region.name} ${this.core.cycles - region.began}`;
    if (this.hasOwners) {
      this.endTurn();
      const found = [...this.owned].filter(([, cycles]) => cycles > 0).sort(([a], [b]) => a - b);
      line += found.map(([owner, cycles]) => ` ${owner}:${cycles}`).join('');
    }
    fs.writeSync(this.out, `${line}\n`);
  }
}

// Arm's semihosting calls that firmware/ports/semihosting makes. `core` has the number in R0 and the
// address of the arguments in R1.
class Semihosting {
  constructor(mcu, image) {
    this.mcu = mcu;
    this.image = image;
    this.file = null;
    this.at = 0;
  }

  call() {
    const {registers} = this.mcu.core;
    const [first, second, third] = [0, 4, 8].map((n) => this.mcu.readUint32(registers[1] + n));
    registers[0] = this.answer(registers[0], first, second, third);
  }

  answer(number, first, second, third) {
    switch (number) {
      case 0x01: // SYS_OPEN: the only file there is
        this.file ??= fs.openSync(this.image, 'r+');
        return 0;
      case 0x05: // SYS_WRITE; both return how many bytes are left
        this.at += fs.writeSync(this.file, this.sram(second, third), 0, third, this.at);
        return 0;
      case 0x06: { // SYS_READ
        const came = fs.readSync(this.file, this.sram(second, third), 0, third, this.at);
        this.at += came;
        return third - came;
      }
      case 0x0a: // SYS_SEEK
        this.at = second;
        return 0;
      case 0x15: // SYS_GET_CMDLINE
        this.mcu.sram[first - SRAM] = 0;
        this.mcu.writeUint32(this.mcu.core.registers[1] + 4, 0);
        return 0;
      default:
        return stop(`the firmware makes the semihosting call ${number}`);
    }
  }

  sram(address, bytes) {
    const at = address - SRAM;
    if (at < 0 || at + bytes > this.mcu.sram.length) {
      // Constants in flash, which are only read.
      return this.mcu.flash.subarray(address - FLASH, address - FLASH + bytes);
    }
    return this.mcu.sram.subarray(at, at + bytes);
  }
}

function serveMemory(mcu, name) {
  const server = net.createServer((socket) => {
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (data) => {
      text += data;
      const end = text.indexOf('\n');
      if (end >= 0) {
        const [address, bytes] = text.slice(0, end).split(' ').map(Number);
        socket.end(mcu.sram.subarray(address - SRAM, address - SRAM + bytes));
      }
    });
  });
  server.listen(name);
}

// Reads and writes the end of the pseudo-terminal, and runs the core in between.
class Board {
  constructor(mcu, counter) {
    this.mcu = mcu;
    this.counter = counter;
    this.uart = mcu.uart[0];
    this.received = []; // buffers that the firmware has not had
    this.next = 0; // byte of the first of them
    this.sent = [];
    this.dueAt = 0; // in cycles: the next byte
    this.isScheduled = false;
    this.uart.onByte = (byte) => this.sent.push(byte);
  }

  start() {
    this.read();
    this.schedule();
  }

  read() {
    const buffer = Buffer.alloc(4096);
    fs.read(LINK, buffer, 0, buffer.length, null, (error, bytes) => {
      if (error) {
        stop(`the link has gone (${error.code})`);
      }
      this.received.push(buffer.subarray(0, bytes));
      this.schedule();
      this.read();
    });
  }

  schedule() {
    if (!this.isScheduled) {
      this.isScheduled = true;
      setImmediate(() => {
        this.isScheduled = false;
        this.run();
      });
    }
  }

  // A byte for the UART if it has room and it is time for one: while the core runs, bytes are as far
  // from each other as they are on a line. While it sleeps nothing is lost by not waiting.
  feed() {
    const {core} = this.mcu;
    const isDue = core.waiting || core.cycles >= this.dueAt;
    if (isDue && this.received.length > 0 && this.uart.rxFIFO.empty) {
      this.dueAt = core.cycles + (BITS_OF_A_BYTE * this.mcu.clkSys) / this.uart.baudRate;
      const first = this.received[0];
      this.uart.feedByte(first[this.next++]);
      if (this.next === first.length) {
        this.received.shift();
        this.next = 0;
      }
    }
  }

  run() {
    const {core} = this.mcu;
    const marks = this.counter?.marks;
    for (let n = 0; n < SLICE; n++) {
      if (core.waiting || n % LOOK === 0) {
        this.feed();
      }
      if (core.waiting) {
        break; // until a byte comes
      }
      if (marks !== undefined) {
        const at = core.PC - FLASH;
        if (at >= 0 && marks[at >>> 1] === 1) {
          this.counter.at(core.PC);
        }
      }
      core.executeInstruction();
    }
    this.write();
    if (!core.waiting || this.received.length > 0) {
      this.schedule();
    }
  }

  write() {
    for (let at = 0; at < this.sent.length; ) {
      at += fs.writeSync(LINK, Buffer.from(this.sent.slice(at)));
    }
    this.sent.length = 0;
  }
}

function parsed(args) {
  const asked = {regions: [], owners: []};
  for (const arg of args) {
    const [key, value] = [arg.slice(0, arg.indexOf('=')), arg.slice(arg.indexOf('=') + 1)];
    if (key === 'region') {
      const [name, begin, end] = value.split(':');
      asked.regions.push([name, parseInt(begin, 16), parseInt(end, 16)]);
    } else if (key === 'owners') {
      for (const line of fs.readFileSync(value, 'utf8').split('\n').filter(Boolean)) {
        const [begin, end, owner] = line.split(' ');
        asked.owners.push([parseInt(begin, 16), parseInt(end, 16), Number(owner)]);
      }
    } else if (key === 'out' || key === 'memory' || key === 'flash') {
      asked[key] = value;
    } else {
      stop(`bad argument ${arg}`);
    }
  }
  return asked;
}

function main([modules, elf, terminal, ...args]) {
  const node = process.versions.node;
  if (parseInt(node, 10) < LEAST_NODE) {
    stop(`node ${node} is too old for rp2040js: install ${LEAST_NODE} or later`);
  }
  const {RP2040, ConsoleLogger, LogLevel} = createRequire(path.join(modules, 'x.js'))('rp2040js');
  const asked = parsed(args);
  const mcu = new RP2040();
  mcu.logger = new ConsoleLogger(LogLevel.Error, true);
  load(mcu, fs.readFileSync(elf));
  boot(mcu);
  if (asked.flash !== undefined) {
    const host = new Semihosting(mcu, asked.flash);
    mcu.onBreak = () => host.call();
  }
  if (asked.memory !== undefined) {
    serveMemory(mcu, asked.memory);
  }
  const counter =
    asked.out === undefined ? null : new Counter(mcu.core, asked.regions, asked.owners, asked.out);
  new Board(mcu, counter).start();
  console.log(terminal);
}

main(process.argv.slice(2));
