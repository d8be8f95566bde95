// Runs kernels for a test that lives in another process, and so perhaps on another processor.
//
// The protocol of standard input and output; numbers are 64-bit integers of this machine's byte order:
//   in:  "T" isa                                           out: block, pixels, vectors, and the tall tile's pixels, vectors
//   in:  "R" isa, kernel, threads, memory, values          out: memory, as the kernel left it
//   text is its length and its bytes; memory is the number of blocks, then of each its length and its bytes;
//   values are their number, then of each its name and "i" integer, "f" the bits of a float, or "p" block, offset.
// Every block has a guard behind it that must not change. Anything unexpected ends the program with a line on standard
// error. tests/remote.py is the other side.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "module/barrier.hpp"
#include "module/fork.hpp"
#include "module/registry.hpp"

using namespace orpheus;

namespace {

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "runner: %s\n", what.c_str());
    std::exit(1);
}

void read(void* to, std::size_t count) {
    if (count && std::fread(to, 1, count, stdin) != count) fail("the input ends early");
}

Int number() {
    Int value;
    read(&value, sizeof value);
    return value;
}

std::size_t size() { return static_cast<std::size_t>(number()); }

std::string text() {
    std::string value(size(), '\0');
    read(value.data(), value.size());
    return value;
}

void write(const void* from, std::size_t count) {
    if (std::fwrite(from, 1, count, stdout) != count) fail("the output is closed");
}

const Table& table_of(const std::string& name) {
    for (const Isa& isa : isas())
        if (isa.usable && name == isa.name) return *isa.table;
    fail("no instruction set " + name);
}

const Family& family_of(const std::string& name) {
    for (const Family& family : families())
        if (name == family.name) return family;
    fail("no kernel " + name);
}

constexpr std::size_t guard = 64;
constexpr unsigned char guarded = 0xa5;

struct Block {
    std::size_t bytes;
    std::vector<std::byte> memory;  // the block and its guard
};

void set(std::vector<Int>& args, const Family& family, const std::string& name, std::vector<Block>& blocks) {
    for (const Field& field : family.fields) {
        if (name != field.name) continue;
        auto* place = reinterpret_cast<std::byte*>(args.data()) + field.offset;
        char kind;
        read(&kind, 1);
        if (kind == 'p') {
            if (field.kind == Kind::integer || field.kind == Kind::real) fail(name + " is no pointer");
            const std::size_t block = size(), offset = size();
            std::byte* pointer = blocks.at(block).memory.data() + offset;
            std::memcpy(place, &pointer, sizeof pointer);
        } else {
            if ((kind == 'i' ? Kind::integer : Kind::real) != field.kind) fail(name + " is of another kind");
            const Int value = number();  // a float is the low half, first in memory
            std::memcpy(place, &value, kind == 'i' ? sizeof(Int) : sizeof(float));
        }
        return;
    }
    fail(std::string(family.name) + " has no argument " + name);
}

void run() {
    const Table& table = table_of(text());
    const Family& family = family_of(text());
    const int threads = static_cast<int>(number());
    std::vector<Block> blocks(size());
    for (Block& block : blocks) {
        block.bytes = size();
        block.memory.assign(block.bytes + guard, std::byte{guarded});
        read(block.memory.data(), block.bytes);
    }
    std::vector<Int> args((family.size + sizeof(Int) - 1) / sizeof(Int), 0);
    for (std::size_t left = size(); left > 0; --left) {
        const std::string name = text();
        set(args, family, name, blocks);
    }
    Barrier barrier;
    fork(threads, [&](int rank, int members) {
        Team team{rank, members, &barrier};
        (table.*family.entry)(args.data(), team);
    });
    for (const Block& block : blocks) {
        for (std::size_t i = 0; i < guard; ++i)
            if (block.memory[block.bytes + i] != std::byte{guarded}) fail(std::string(family.name) + " wrote beyond a block");
        write(block.memory.data(), block.bytes);
    }
}

}  // namespace

int main() {
    for (int verb; (verb = std::fgetc(stdin)) != EOF;) {
        if (verb == 'T') {
            const Table& table = table_of(text());
            for (const Int value :
                 {table.block, table.tile_pixels, table.tile_vectors, table.short_pixels, table.tall_vectors})
                write(&value, sizeof value);
        } else if (verb == 'R') {
            run();
        } else {
            fail("no verb");
        }
        std::fflush(stdout);
    }
}
