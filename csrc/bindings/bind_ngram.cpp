#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "mixlaw/count_file.hpp"
#include "mixlaw/counts_reader.hpp"
#include "mixlaw/ngram_counter.hpp"

namespace mixlaw::bindings {
namespace {

constexpr std::int64_t max_threads = 4096;

// Signals reach Python only when it is asked; in the main thread, Ctrl-C makes this true.
bool signal_raised() {
  const py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

// An argument that takes integers alone: by default, pybind11 would cut off the fraction of a numpy.float32.
py::arg integer(const char* name) { return py::arg(name).noconvert(); }

// Runs `call(stop_check)` without the interpreter lock. What a signal handler raised meanwhile goes on from here.
template <class Call>
auto without_lock(Call&& call) {
  try {
    const py::gil_scoped_release release;
    return call(StopCheck(signal_raised));
  } catch (const Interrupted&) {
    throw py::error_already_set();
  }
}

// A method of the counter that takes these arguments and a StopCheck, called without the interpreter lock.
template <class... Arguments, class Method>
auto unlocked(Method method) {
  return [method](NgramCounter& counter, Arguments... arguments) {
    return without_lock([&](const StopCheck& stop) { return (counter.*method)(arguments..., stop); });
  };
}

py::array_t<std::uint64_t> as_array(const std::vector<std::uint64_t>& values) {
  return py::array_t<std::uint64_t>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::tuple read_rows(CountsReader& reader, std::size_t rows, unsigned threads) {
  const auto length = static_cast<py::ssize_t>(rows);
  py::array_t<std::uint32_t> ngrams({length, static_cast<py::ssize_t>(reader.order())});
  py::array_t<std::uint64_t> counts(length);
  std::uint32_t* const ngrams_data = ngrams.mutable_data();
  std::uint64_t* const counts_data = counts.mutable_data();
  without_lock([&](const StopCheck& stop) {
    Work work(threads, stop);
    reader.read(rows, ngrams_data, counts_data, work);
  });
  return py::make_tuple(std::move(ngrams), std::move(counts));
}

CountsReader reader_of(NgramCounter& counter, std::int64_t n) {
  const NgramKeys keys = counter.keys(n);
  return {unlocked<std::int64_t>(&NgramCounter::counts)(counter, n), keys};
}

// Gives counts in pieces of so many rows, as they were when it was made.
class CountsIterator {
 public:
  CountsIterator(CountsReader reader, std::size_t rows) : reader_(std::move(reader)), rows_(rows) {}

  py::tuple next() {
    if (busy_) throw py::value_error("the iterator is at work in another thread");
    if (reader_.left() == 0) throw py::stop_iteration();
    const Busy busy(busy_);
    // A copy reads on, so that after Ctrl-C no rows are lost.
    CountsReader ahead = reader_;
    py::tuple piece = read_rows(ahead, static_cast<std::size_t>(std::min<std::uint64_t>(ahead.left(), rows_)), 1);
    reader_ = std::move(ahead);
    return piece;
  }

 private:
  struct Busy {
    explicit Busy(bool& flag_) : flag(flag_) { flag = true; }
    ~Busy() { flag = false; }
    bool& flag;
  };

  CountsReader reader_;
  std::size_t rows_;
  bool busy_ = false;
};

std::unique_ptr<NgramCounter> make_counter(std::int64_t vocab_size, std::int64_t order, std::int64_t groups,
                                           std::optional<std::int64_t> threads,
                                           std::optional<std::int64_t> memory_limit, const std::string& folder,
                                           bool lasting) {
  if (threads && (*threads < 1 || *threads > max_threads)) {
    throw py::value_error("threads must be from 1 to " + std::to_string(max_threads) + ", not " +
                          std::to_string(*threads));
  }
  if (memory_limit && *memory_limit < 1) {
    throw py::value_error("memory_limit must be at least 1 byte, not " + std::to_string(*memory_limit));
  }
  CounterSettings settings;
  settings.vocab_size = vocab_size;
  settings.order = order;
  settings.groups = groups;
  settings.threads = static_cast<unsigned>(threads.value_or(0));
  if (memory_limit) settings.memory_limit = static_cast<std::uint64_t>(*memory_limit);
  settings.folder = folder;
  settings.file_life = lasting ? FileLife::lasting : FileLife::nameless;
  return std::make_unique<NgramCounter>(settings);
}

void update(NgramCounter& counter, const py::object& tokens, const py::object& offsets, std::int64_t context) {
  const py::array token_holder = flat_array(tokens, "tokens");
  const TokenArray view = token_array(token_holder);
  if (offsets.is_none()) {
    const std::int64_t whole[] = {0, static_cast<std::int64_t>(view.size)};
    without_lock([&](const StopCheck& stop) { counter.update({view, whole, 1}, context, stop); });
    return;
  }
  const py::array offset_holder = flat_array(offsets, "offsets");
  const Documents documents = documents_of(view, offset_holder);
  without_lock([&](const StopCheck& stop) { counter.update(documents, context, stop); });
}

py::tuple counts(NgramCounter& counter, std::int64_t n) {
  CountsReader reader = reader_of(counter, n);
  return read_rows(reader, reader.left(), counter.threads());
}

CountsIterator iter_counts(NgramCounter& counter, std::int64_t n, std::int64_t rows) {
  if (rows < 1) throw py::value_error("rows must be at least 1, not " + std::to_string(rows));
  return {reader_of(counter, n), static_cast<std::size_t>(rows)};
}

py::tuple count_of_counts(NgramCounter& counter, std::int64_t n) {
  const CountOfCounts found = unlocked<std::int64_t>(&NgramCounter::count_of_counts)(counter, n);
  return py::make_tuple(as_array(found.counts), as_array(found.how_many));
}

const char* name_of(TableKind kind) {
  return kind == TableKind::ngrams ? "ngrams" : kind == TableKind::tails ? "tails" : "history";
}

TableKind kind_of(const std::string& name) {
  for (const TableKind kind : {TableKind::ngrams, TableKind::tails, TableKind::history}) {
    if (name == name_of(kind)) return kind;
  }
  throw py::value_error("no kind of table is called " + name);
}

py::list weighted_counts_of_counts(NgramCounter& counter, std::int64_t n,
                                   const std::vector<std::vector<std::uint64_t>>& weights, bool prefixes) {
  py::list result;
  for (const CountOfCounts& found : without_lock(
           [&](const StopCheck& stop) { return counter.weighted_counts_of_counts(n, prefixes, weights, stop); })) {
    result.append(py::make_tuple(as_array(found.counts), as_array(found.how_many)));
  }
  return result;
}

// (totals, [(kind, order, files), ...])
py::tuple as_tuple(const NgramCounter::Saved& saved) {
  py::list tables;
  for (const NgramCounter::Saved::Table& table : saved.tables) {
    tables.append(py::make_tuple(name_of(table.kind), table.order, table.files));
  }
  return py::make_tuple(saved.totals, tables);
}

NgramCounter::Saved as_saved(const py::tuple& saved) {
  NgramCounter::Saved result{saved[0].cast<NgramCounter::Totals>(), {}};
  for (const py::handle table : saved[1].cast<py::list>()) {
    const auto parts = table.cast<py::tuple>();
    result.tables.push_back(
        {kind_of(parts[0].cast<std::string>()), parts[1].cast<unsigned>(), parts[2].cast<std::vector<std::string>>()});
  }
  return result;
}

py::tuple entropies(NgramCounter& counter) {
  const Entropies found = unlocked(&NgramCounter::entropies)(counter);
  return py::make_tuple(found.shannon, found.joint, found.conditional);
}

constexpr const char* counter_doc = R"(Exact counts of n-grams.

See `mixlaw.NgramCounter`.)";

constexpr const char* update_doc = R"(Count the n-grams of token ids.

No n-gram crosses a document border or reaches into another call, except by `context`. The array is read where it
lies, memory maps too, without a copy and without the interpreter lock.

Parameters
----------
tokens
    Token ids, shape (k,), contiguous; uint8, uint16, uint32, int32 or int64.
offsets
    Document borders, int64, shape (documents + 1,): document d is ``tokens[offsets[d]:offsets[d + 1]]``. They begin
    at 0, never decrease, and end at k. None: all tokens are one document.
context
    The first `context` tokens, fewer than the order, are history: n-grams that lie in them whole are not counted, those
    that end behind them are. A long document can so be counted in several calls.

Raises
------
TypeError
    If `tokens` or `offsets` is no contiguous one-dimensional array of such a dtype.
ValueError
    If a token is negative or not below the vocabulary size (the message gives its position and value), or `offsets` or
    `context` is not as described.
OSError
    If counts cannot be written to the spill folder, because the disk is full for example.

After an error or Ctrl-C the counter is as it was before the call.)";

constexpr const char* merge_doc = R"(Add what another counter has counted; the other one is unchanged.

Parameters
----------
other
    A counter of the same order and vocabulary size. It may be this one: its counts double.

Raises
------
ValueError
    If order or vocabulary size differ.
OverflowError
    If a total would exceed 64 bits.)";

constexpr const char* counts_doc = R"(All n-grams that occurred, and how often.

Parameters
----------
n
    Length of the n-grams, from 1 to the order.

Returns
-------
ngrams, counts
    uint32, shape (k, n), rows in lexicographic order; and uint64, shape (k,).)";

constexpr const char* iter_counts_doc =
    R"(Iterate over the rows of `counts` in pieces of `rows` rows, the last one shorter.

The pieces are those of the counter at the time of this call, whatever is counted afterwards.

Parameters
----------
n
    Length of the n-grams, from 1 to the order.
rows
    Rows of a piece, at least 1.)";

constexpr const char* total_doc = R"(How many n-grams were counted, repeated ones each time.

Parameters
----------
n
    Length of the n-grams, from 1 to the order.)";

constexpr const char* distinct_doc = R"(How many different n-grams were counted.

Parameters
----------
n
    Length of the n-grams, from 1 to the order.)";

constexpr const char* count_of_counts_doc = R"(How often each count occurs.

Parameters
----------
n
    Length of the n-grams, from 1 to the order.

Returns
-------
counts, how_many
    uint64, shape (j,) each: ``how_many[i]`` different n-grams were counted ``counts[i]`` times. `counts` ascends.)";

constexpr const char* weighted_counts_of_counts_doc =
    R"(How often each count would occur had groups of documents another weight.

For bootstrap replicates, whose weights are how often each group was drawn, and for parts of what was counted.

Parameters
----------
n
    Length of the n-grams, from 1 to the order.
weights
    Rows of whole numbers below 2**32, one for each of the counter's `groups`: every document of group g counts
    ``weights[i][g]`` times.
prefixes
    Of the n-grams without their last tokens instead; n is at least 2.

Returns
-------
list
    For every row, what `count_of_counts` would give.

Raises
------
ValueError
    If a row has another length, a weight is too large, or n is out of range; or a count file that was merged is wrong.
OverflowError
    If an n-gram's count times the largest weight exceeds 64 bits.)";

constexpr const char* count_of_doc = R"(How often one n-gram was counted.

Parameters
----------
ngram
    Its token ids, from 1 to `order` of them.

Raises
------
ValueError
    If it is longer than the order, or holds a token outside the vocabulary.)";

constexpr const char* entropy_doc = R"(Plug-in entropy of the n-grams, in nats.

Relative errors are below 1e-15, and the results the same bytes for any number of threads, any cut of the input, and any
machine.

Parameters
----------
n
    Length of the n-grams, from 1 to the order.

Raises
------
ValueError
    If no n-grams of this length were counted.)";

constexpr const char* conditional_entropy_doc =
    R"(Plug-in entropy of the last token of an n-gram given the others, in nats.

It is the entropy of the n-grams less that of the n-grams without their last tokens; for n = 1 that of the tokens.

Parameters
----------
n
    Length of the n-grams, from 1 to the order.

Raises
------
ValueError
    If no n-grams of this length were counted.)";

constexpr const char* disk_use_doc = R"(Bytes that this counter wrote to its spill folder.

Returns
-------
written, now, peak
    All that was ever written; what is there; the most that was there at a time.)";

}  // namespace

// A refusal of the system becomes an OSError, a damaged file an InputError.
void translate(std::exception_ptr thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const FileError& error) {
    const int number = error.code().value();
    const py::tuple arguments = py::make_tuple(number, error.code().message(), error.path());
    PyErr_SetObject(PyExc_OSError, arguments.ptr());
  } catch (const CountFileError& error) {
    PyErr_SetString(py::module_::import("mixlaw.errors").attr("InputError").ptr(), error.what());
  }
}

void bind_ngram(py::module_& module) {
  py::register_local_exception_translator(translate);

  py::class_<CountFile>(module, "CountFile", "A count file, opened; see mixlaw.NgramCounter.read.")
      .def(py::init([](const std::string& path) { return open_count_file(path); }))
      .def_property_readonly("order", [](const CountFile& file) { return file.head.order; })
      .def_property_readonly("vocab_size", [](const CountFile& file) { return file.head.vocab_size; })
      .def_property_readonly("groups", [](const CountFile& file) { return file.head.groups; })
      .def_property_readonly("metadata", [](const CountFile& file) { return py::bytes(file.head.metadata); });

  py::class_<CountsIterator>(module, "CountsIterator", "Iterator over pieces of counts; see NgramCounter.iter_counts.")
      .def("__iter__", [](py::object self) { return self; })
      .def("__next__", &CountsIterator::next);

  py::class_<NgramCounter>(module, "NgramCounter", counter_doc)
      .def(py::init(&make_counter), integer("vocab_size"), py::kw_only(), integer("order") = 2, integer("groups") = 1,
           integer("threads") = py::none(), integer("memory_limit") = py::none(), py::arg("folder") = "",
           py::arg("lasting") = false)
      .def_property_readonly("vocab_size", &NgramCounter::vocab_size, "Token ids are below this.")
      .def_property_readonly("order", &NgramCounter::order, "Length of the longest n-grams that are counted.")
      .def_property_readonly("groups", &NgramCounter::groups, "Groups that documents are counted in.")
      .def_property_readonly("threads", &NgramCounter::threads, "The most threads that one call uses.")
      .def_property_readonly("memory_limit", &NgramCounter::memory_limit,
                             "Bytes of memory that the counter may take; None where there is no limit.")
      .def("update", &update, py::arg("tokens"), py::arg("offsets") = py::none(), py::kw_only(), integer("context") = 0,
           update_doc)
      .def("merge", unlocked<NgramCounter&>(&NgramCounter::merge), py::arg("other"), merge_doc)
      .def("counts", &counts, integer("n"), counts_doc)
      .def("iter_counts", &iter_counts, integer("n"), integer("rows") = std::int64_t{1} << 20, iter_counts_doc)
      .def("total", unlocked<std::int64_t>(&NgramCounter::total), integer("n"), total_doc)
      .def("distinct", unlocked<std::int64_t>(&NgramCounter::distinct), integer("n"), distinct_doc)
      .def("count_of_counts", &count_of_counts, integer("n"), count_of_counts_doc)
      .def("weighted_counts_of_counts", &weighted_counts_of_counts, integer("n"), py::arg("weights"), py::kw_only(),
           py::arg("prefixes") = false, weighted_counts_of_counts_doc)
      .def("entropies", &entropies)
      .def("count_of", unlocked<const std::vector<std::int64_t>&>(&NgramCounter::count_of), py::arg("ngram"),
           count_of_doc)
      .def("entropy", unlocked<std::int64_t>(&NgramCounter::entropy_of), integer("n"), entropy_doc)
      .def("conditional_entropy", unlocked<std::int64_t>(&NgramCounter::conditional_entropy_of), integer("n"),
           conditional_entropy_doc)
      .def(
          "disk_use",
          [](const NgramCounter& counter) {
            const DiskUse use = counter.disk_use();
            return py::make_tuple(use.written, use.now, use.peak);
          },
          disk_use_doc)
      .def("run_bytes", unlocked(&NgramCounter::run_bytes),
           "Bytes that the counts take in their compressed form, in memory and on disk.")
      // What mixlaw.NgramCounter makes files and checkpoints of.
      .def("_spill", unlocked(&NgramCounter::spill))
      .def("_write", unlocked<const std::string&, const std::string&>(&NgramCounter::write))
      .def("_add_file", unlocked<const CountFile&>(&NgramCounter::add_file))
      .def("_save", [](NgramCounter& counter) { return as_tuple(unlocked(&NgramCounter::save)(counter)); })
      .def("_forget_others",
           [](NgramCounter& counter, const py::tuple& saved) {
             unlocked<const NgramCounter::Saved&> (&NgramCounter::forget_others)(counter, as_saved(saved));
           })
      .def("_restore",
           [](NgramCounter& counter, const py::tuple& saved) {
             unlocked<const NgramCounter::Saved&> (&NgramCounter::restore)(counter, as_saved(saved));
           })
      .def("__repr__", [](const NgramCounter& counter) {
        return "NgramCounter(vocab_size=" + std::to_string(counter.vocab_size()) +
               ", order=" + std::to_string(counter.order()) + ", threads=" + std::to_string(counter.threads()) + ")";
      });
}

}  // namespace mixlaw::bindings
