// NgramCounter: count files and checkpoints.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <stdexcept>
#include <utility>

#include "counter_turn.hpp"
#include "mixlaw/copy_run.hpp"
#include "mixlaw/ngram_counter.hpp"

namespace mixlaw {
namespace {

// Puts a run into a table of a count file; one without counts is left out.
class TableSink : public RunSink {
 public:
  TableSink(CountFileWriter& writer, TableKind kind, unsigned order) : writer_(writer), kind_(kind), order_(order) {}

  Segment keep(WideKey first_key, std::uint64_t entries, const std::uint8_t* bytes, std::size_t size) override {
    return writer_.keep(first_key, entries, bytes, size);
  }
  Run finish(std::vector<Segment> segments) override {
    if (!segments.empty()) writer_.add_table(kind_, order_, segments);
    return {};
  }

 private:
  CountFileWriter& writer_;
  TableKind kind_;
  unsigned order_;
};

// Waits until a file is on the disk.
void sync_file(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw FileError(errno, path);
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error != 0) throw FileError(error, path);
}

}  // namespace

void NgramCounter::write(const std::string& path, const std::string& metadata, const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  finish_pending(work);
  const NgramKeys& longest = ngrams_.runs.keys();
  CountFileWriter writer(path, {longest.order, longest.vocab_size, totals_, metadata, longest.groups},
                         FileLife::lasting, nullptr);
  TableSink ngrams(writer, TableKind::ngrams, longest.order);
  copy_run(ngrams_.runs.merge(work), longest, ngrams, work);
  for (unsigned m = 1; m < longest.order; ++m) {
    TableSink tails(writer, TableKind::tails, m);
    TableSink history(writer, TableKind::history, m);
    difference(tails_[m - 1].runs.merge(work), history_[m - 1].runs.merge(work), stored_keys(m), tails, history, work);
  }
  writer.close(true);
}

void NgramCounter::add_file(const CountFile& file, const StopCheck& stop) {
  check_alike(file.head.order, static_cast<std::int64_t>(file.head.vocab_size), file.head.groups);
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  settle(work);
  Change change(*this);
  const Totals totals = sum_of_totals(file.head.totals);
  for (const Table& table : file.tables) store_of(table.kind, table.order).staged.push(table.run);
  change.commit(totals);
}

NgramCounter::Saved NgramCounter::save(const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  count_pending(work);
  settle(work);
  Saved saved{totals_, {}};
  const auto add = [&](Store& store, TableKind kind) {
    store.runs.save(work);
    std::vector<std::string> files;
    for (const RunPtr& run : store.runs.runs()) {
      sync_file(run->file);
      files.push_back(run->file);
    }
    saved.tables.push_back({kind, store.runs.keys().order, std::move(files)});
  };
  add(ngrams_, TableKind::ngrams);
  for (Store& store : tails_) add(store, TableKind::tails);
  for (Store& store : history_) add(store, TableKind::history);
  return saved;
}

void NgramCounter::forget_others(const Saved& saved, const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  std::vector<std::string> files;
  for (const Saved::Table& table : saved.tables) files.insert(files.end(), table.files.begin(), table.files.end());
  storage_.keep_only(files);
}

void NgramCounter::restore(const Saved& saved, const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  Change change(*this);
  for (const Saved::Table& table : saved.tables) {
    Store& store = store_of(table.kind, table.order);
    for (const std::string& path : table.files) {
      const CountFile file = open_count_file(path);
      if (file.head.order != table.order || file.head.vocab_size != keys(1).vocab_size ||
          file.head.groups != settings_.groups || file.tables.size() != 1) {
        throw CountFileError(path, 0, "holds other counts than the checkpoint says");
      }
      storage_.enter_file(path);
      store.staged.push(file.tables[0].run);
    }
  }
  change.commit(saved.totals);
}

// Throws std::invalid_argument where there is none.
NgramCounter::Store& NgramCounter::store_of(TableKind kind, unsigned order) {
  if (kind == TableKind::ngrams && order == settings_.order) return ngrams_;
  if (kind != TableKind::ngrams && order >= 1 && order < settings_.order) {
    return (kind == TableKind::tails ? tails_ : history_)[order - 1];
  }
  throw std::invalid_argument("no table of order " + std::to_string(order) + " belongs to a counter of order " +
                              std::to_string(settings_.order));
}

}  // namespace mixlaw
