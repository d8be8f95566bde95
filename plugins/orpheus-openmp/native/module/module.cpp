// The Python module: which instruction sets there are, and steps and segments that run without the GIL.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "module/barrier.hpp"
#include "module/beside.hpp"
#include "module/fork.hpp"
#include "module/registry.hpp"
#include "module/chain.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace orpheus {

namespace {

const Table& table_of(const std::string& name) {
    std::string usable;
    for (const Isa& isa : isas()) {
        if (!isa.usable) continue;
        if (name == isa.name) return *isa.table;
        usable += usable.empty() ? isa.name : std::string(", ") + isa.name;
    }
    throw nb::value_error(("instruction set '" + name + "' is not usable here; there are: " + usable).c_str());
}

template <class T> using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

// Every kernel in order; a barrier after each, so that the next sees its results. One thread enters no runtime.
void run(const Kernel* kernels, const void* const* args, std::size_t count, int threads) {
    const auto all = [&](int rank, int size, Barrier* barrier) {
        Team team{rank, size, barrier};
        for (std::size_t i = 0; i < count; ++i) {
            kernels[i](args[i], team);
            wait(team);
        }
    };
    if (threads <= 1) return all(0, 1, nullptr);
    Barrier barrier;
    fork(threads, [&](int rank, int size) { all(rank, size, &barrier); });
}

// Raises what a kernel that reads at indices found outside: (1, the index, the axis' size); see kernels/pick.cpp.
void raise(Int* fault) {
    if (!__atomic_load_n(fault, __ATOMIC_RELAXED)) return;
    fault[0] = 0;
    throw nb::value_error(("index " + std::to_string(fault[1]) + " is outside an axis of " + std::to_string(fault[2]) +
                           " elements").c_str());
}

// One bound kernel: its function, its arguments, and the arrays they point into.
class Step {
public:
    Step(const std::string& isa, const std::string& name, int threads, nb::dict values) : threads_(threads) {
        const Table& table = table_of(isa);
        for (const Family& family : families())
            if (name == family.name) {
                fill(table, family, values);
                return;
            }
        throw nb::value_error(("there is no kernel '" + name + "'").c_str());
    }

    void operator()() const {
        const void* args = args_.data();
        run(&kernel_, &args, 1, threads_);
        if (fault_) raise(fault_);
    }

    const char* name() const { return name_; }
    Int* fault() const { return fault_; }
    Kernel kernel() const { return kernel_; }
    const void* args() const { return args_.data(); }
    int threads() const { return threads_; }

    // This step as a part of a chain.
    Link link() const {
        for (const RowFamily& family : row_families())
            if (std::string_view(name_) == family.name)
                return {&family, table_->*family.rows, args_, table_->block};
        throw nb::value_error((std::string("the kernel '") + name_ + "' does not compute rows").c_str());
    }

private:
    void fill(const Table& table, const Family& family, nb::dict values) {
        table_ = &table;
        name_ = family.name;
        kernel_ = table.*family.entry;
        args_.assign((family.size + sizeof(Int) - 1) / sizeof(Int), 0);
        std::size_t used = 0;
        for (const Field& field : family.fields) {
            const bool given = values.contains(field.name);
            used += given;
            const bool pointer = field.kind != Kind::integer && field.kind != Kind::real;
            if (!given && !pointer) throw nb::type_error((std::string(family.name) + " needs " + field.name).c_str());
            if (given) set(field, values[field.name]);
        }
        if (used != values.size()) {
            for (auto [key, value] : values) {
                const std::string name = nb::cast<std::string>(key);
                bool known = false;
                for (const Field& field : family.fields) known = known || name == field.name;
                if (!known) throw nb::type_error((std::string(family.name) + " has no argument " + name).c_str());
            }
        }
    }

    void set(const Field& field, nb::handle value) {
        if (value.is_none()) return;
        switch (field.kind) {
            case Kind::integer: return put(field, nb::cast<Int>(value));
            case Kind::real: return put(field, static_cast<float>(nb::cast<double>(value)));
            case Kind::input: return put(field, nb::cast<Array<const float>>(value, false).data(), value);
            case Kind::output: return put(field, nb::cast<Array<float>>(value, false).data(), value);
            case Kind::integers: return put(field, nb::cast<Array<const Int>>(value, false).data(), value);
            case Kind::doubles: return put(field, nb::cast<Array<const double>>(value, false).data(), value);
            case Kind::bytes: return put(field, nb::cast<Array<const unsigned char>>(value, false).data(), value);
            case Kind::bytes_out: {
                unsigned char* bytes = nb::cast<Array<unsigned char>>(value, false).data();
                if (std::string_view(field.name) == "fault") fault_ = reinterpret_cast<Int*>(bytes);
                return put(field, bytes, value);
            }
        }
    }

    template <class T> void put(const Field& field, T value) {
        std::memcpy(reinterpret_cast<std::byte*>(args_.data()) + field.offset, &value, sizeof(value));
    }

    template <class T> void put(const Field& field, T value, nb::handle owner) {
        put(field, value);
        kept_.push_back(nb::borrow(owner));
    }

    const Table* table_ = nullptr;
    const char* name_ = "";
    Int* fault_ = nullptr;
    Kernel kernel_ = nullptr;
    std::vector<Int> args_;  // as integers for their alignment; pointers that are not given stay null
    std::vector<nb::object> kept_;
    int threads_;
};

std::vector<Link> links_of(nb::list steps) {
    std::vector<Link> links;
    for (nb::handle step : steps) links.push_back(nb::cast<const Step&>(step).link());
    return links;
}

// A chain of steps, each of which reads what the one before writes; see chain.hpp. It keeps their arrays.
class ChainStep {
public:
    ChainStep(nb::list steps, Int band, int threads) : chain_(links_of(steps), band, threads) {
        for (nb::handle step : steps) kept_.push_back(nb::borrow(step));
    }

    void operator()() const {
        const Kernel kernel = &Chain::kernel;
        const void* args = &chain_;
        run(&kernel, &args, 1, chain_.threads());
    }

    const Chain& chain() const { return chain_; }
    nb::tuple capacities() const {
        nb::list rows;
        for (std::size_t i = 0; i + 1 < kept_.size(); ++i) rows.append(chain_.capacity(i));
        return nb::tuple(rows);
    }

private:
    Chain chain_;
    std::vector<nb::object> kept_;
};

// Neighbouring steps as one call.
class Segment {
public:
    explicit Segment(nb::list steps) {
        for (nb::handle item : steps) {
            if (nb::isinstance<Segment>(item)) {
                append(nb::cast<const Segment&>(item));
                continue;
            }
            if (nb::isinstance<ChainStep>(item)) {
                const Chain& chain = nb::cast<const ChainStep&>(item).chain();
                add(&Chain::kernel, &chain, chain.threads(), item);
                continue;
            }
            const Step& step = nb::cast<const Step&>(item);
            add(step.kernel(), step.args(), step.threads(), item);
            if (step.fault()) faults_.push_back(step.fault());
        }
    }

    void operator()() const {
        run(kernels_.data(), args_.data(), kernels_.size(), threads_);
        for (Int* fault : faults_) raise(fault);
    }
    std::size_t size() const { return kernels_.size(); }

private:
    void add(Kernel kernel, const void* args, int threads, nb::handle owner) {
        settle(threads);
        kernels_.push_back(kernel);
        args_.push_back(args);
        kept_.push_back(nb::borrow(owner));
    }

    // One team for all: each kernel's workspace has room for as many threads as its step was made for.
    void settle(int threads) {
        if (!kernels_.empty() && threads != threads_)
            throw nb::value_error(("a segment is of one team; its steps are for " + std::to_string(threads_) + " and " +
                                   std::to_string(threads) + " threads").c_str());
        threads_ = threads;
    }

    void append(const Segment& other) {
        if (other.kernels_.empty()) return;
        settle(other.threads_);
        kernels_.insert(kernels_.end(), other.kernels_.begin(), other.kernels_.end());
        args_.insert(args_.end(), other.args_.begin(), other.args_.end());
        kept_.insert(kept_.end(), other.kept_.begin(), other.kept_.end());
        faults_.insert(faults_.end(), other.faults_.begin(), other.faults_.end());
    }

    std::vector<Kernel> kernels_;
    std::vector<const void*> args_;
    std::vector<nb::object> kept_;
    std::vector<Int*> faults_;
    int threads_ = 1;
};

// Steps that pack weights, computed while Python goes on.
class BesideSteps {
public:
    explicit BesideSteps(int threads) : beside_(threads) {
        if (threads < 1) throw nb::value_error("there has to be one thread or more");
    }

    int threads() const { return beside_.threads(); }

    void add(nb::handle item, std::size_t bytes) {
        const Step& step = nb::cast<const Step&>(item);
        if (std::string_view(step.name()) != "pack")
            throw nb::value_error((std::string("only weights are packed beside, which '") + step.name() + "' does not do").c_str());
        kept_.push_back(nb::borrow(item));
        beside_.add(step.kernel(), step.args(), step.threads(), bytes);
    }

    void wait() {
        {
            nb::gil_scoped_release others_go_on;
            beside_.wait();
        }
        kept_.clear();
    }

private:
    std::vector<nb::object> kept_;  // longer than the threads that read what is in them
    Beside beside_;
};

}  // namespace
}  // namespace orpheus

NB_MODULE(_native, m) {
    using namespace orpheus;
    watch_forks();
    m.doc() = "Native kernels of orpheus-openmp; see orpheus_openmp for what to call.";
    m.def(
        "isas",
        [] {
            nb::list names;
            for (const Isa& isa : isas())
                if (isa.usable) names.append(isa.name);
            return names;
        },
        "Instruction sets that this build has and this machine can run, best first.");
    m.def(
        "tile", [](const std::string& isa) {
            const Table& table = table_of(isa);
            return nb::make_tuple(table.block, table.tile_pixels, table.tile_vectors);
        },
        "isa"_a, "(block, pixels, vectors) of the instruction set's register tile.");
    m.def(
        "tall_tile", [](const std::string& isa) {
            const Table& table = table_of(isa);
            return nb::make_tuple(table.short_pixels, table.tall_vectors);
        },
        "isa"_a, "(pixels, vectors) of the register tile for rows too short to fill the other.");
    m.attr("build") = ORPHEUS_BUILD;
    m.attr("has_openmp") =
#ifdef _OPENMP
        true;
#else
        false;
#endif
    nb::class_<Step>(m, "Step", "One bound kernel; calling it computes one inference's worth of work.")
        .def(nb::init<const std::string&, const std::string&, int, nb::dict>(), "isa"_a, "kernel"_a, "threads"_a,
             "arguments"_a)
        .def("__call__", &Step::operator(), nb::call_guard<nb::gil_scoped_release>());
    nb::list row_kernels;
    for (const RowFamily& family : row_families()) row_kernels.append(family.name);
    m.attr("row_kernels") = nb::tuple(row_kernels);
    nb::class_<ChainStep>(m, "Chain", "Steps that each read what the one before writes, computed band by band.")
        .def(nb::init<nb::list, Int, int>(), "steps"_a, "band"_a, "threads"_a)
        .def_prop_ro("capacities", &ChainStep::capacities, "Rows in the window of each step but the last.")
        .def("__call__", &ChainStep::operator(), nb::call_guard<nb::gil_scoped_release>());
    nb::class_<Segment>(m, "Segment", "Neighbouring steps, or segments, as one call.")
        .def(nb::init<nb::list>(), "steps"_a)
        .def("__len__", &Segment::size)
        .def("__call__", &Segment::operator(), nb::call_guard<nb::gil_scoped_release>());
    nb::class_<BesideSteps>(m, "Beside", "Packs weights beside its caller, who waits for all of it in the end.")
        .def(nb::init<int>(), "threads"_a)
        .def_prop_ro("threads", &BesideSteps::threads, "Threads that may work at the same time, the caller's included.")
        .def("add", &BesideSteps::add, "step"_a, "bytes"_a,
             "Packs beside the caller, in as many shares as the step has threads; so many bytes are written.")
        .def("wait", &BesideSteps::wait, "Packs what is left and returns when all is packed.");
}
