#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "folder.hpp"
#include "mixlaw/run_stack.hpp"
#include "mixlaw/run_storage.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;
using test::Counts;
using test::Folder;

const NgramKeys keys(2, 100000);

Counts some_counts(std::uint64_t entries, std::uint64_t step) {
  Counts counts;
  for (std::uint64_t i = 1; i <= entries; ++i) counts[WideKey{i * step % 99991} << 17 | i] = 1 + i % 7;
  return counts;
}

RunPtr run_in(std::unique_ptr<RunSink> sink, const Counts& counts) {
  RunWriter<std::uint64_t> writer(*sink);
  for (const auto& [key, count] : counts) writer.write(static_cast<std::uint64_t>(key), count);
  return std::make_shared<const Run>(sink->finish(writer.finish()));
}

Counts sum_of(const RunStack& stack) {
  Counts sum;
  for (const RunPtr& run : stack.runs()) {
    for (const auto& [key, count] : test::counts_of(*run)) sum[key] += count;
  }
  return sum;
}

void test_runs_are_in_memory_as_long_as_they_fit() {
  const Folder folder;
  RunStorage storage(20000, folder.path(), FileLife::nameless);
  CHECK(storage.limited() && storage.most_memory() == 20000);
  const Counts counts = some_counts(1000, 37);
  const RunPtr first = run_in(storage.sink(20000, keys, FileLife::nameless), counts);
  CHECK(first->in_memory && storage.in_memory() >= first->bytes);
  const RunPtr second = run_in(storage.sink(20001 - storage.in_memory(), keys, FileLife::nameless), counts);
  CHECK(!second->in_memory && second->file.empty());
  CHECK(test::counts_of(*first) == counts && test::counts_of(*second) == counts);
  CHECK(folder.files() == 0);
  CHECK(run_in(test::unlimited_storage().sink(~std::uint64_t{0}, keys, FileLife::nameless), counts)->in_memory);
}

void test_the_gauge_of_the_disk_goes_up_and_down() {
  const Folder folder;
  RunStorage storage(0, folder.path(), FileLife::nameless);
  RunPtr run = run_in(storage.file_sink(keys, FileLife::nameless), some_counts(1000, 37));
  const std::uint64_t size = storage.disk_use().now;
  CHECK(size > run->bytes && size < run->bytes + 500);
  RunPtr other = run_in(storage.file_sink(keys, FileLife::nameless), some_counts(1000, 37));
  CHECK(storage.disk_use().now == 2 * size);
  run.reset();
  CHECK(storage.disk_use().now == size);
  other.reset();
  const DiskUse use = storage.disk_use();
  CHECK(use.now == 0 && use.peak == 2 * size && use.written == 2 * size);
}

void test_lasting_files_have_names_and_go_when_they_are_not_kept() {
  const Folder folder;
  test::write_bytes(folder.path("run-1.mlc"), {1});
  test::write_bytes(folder.path("run-7.mlc"), {1});
  RunStorage storage(0, folder.path(), FileLife::lasting);
  std::vector<std::string> files;
  for (int i = 0; i < 3; ++i)
    files.push_back(run_in(storage.file_sink(keys, FileLife::lasting), some_counts(10, 37))->file);
  // Names that are taken are passed by.
  CHECK((files ==
         std::vector<std::string>{folder.path("run-0.mlc"), folder.path("run-2.mlc"), folder.path("run-3.mlc")}));
  for (const std::string& file : files) CHECK(storage.holds(file) && std::filesystem::exists(file));
  CHECK(!storage.holds(folder.path("run-1.mlc")));
  const std::uint64_t size = storage.disk_use().now / 3;
  storage.enter_file(folder.path("run-7.mlc"));
  CHECK(storage.holds(folder.path("run-7.mlc")) && storage.disk_use().now == 3 * size + 1);
  storage.keep_only({files[1]});
  // Its own are gone, those of others stand.
  CHECK(folder.files() == 2 && std::filesystem::exists(files[1]));
  CHECK(std::filesystem::exists(folder.path("run-1.mlc")));
  CHECK(!storage.holds(files[0]) && storage.holds(files[1]) && storage.disk_use().now == size);
  CHECK_THROWS(FileError, "", storage.enter_file(folder.path("absent")));
}

void test_a_file_that_fails_leaves_nothing_in_the_books() {
  const Folder folder;
  for (const FileLife life : {FileLife::nameless, FileLife::lasting}) {
    RunStorage storage(0, folder.path(), life);
    {
      const auto sink = storage.file_sink(keys, life);
      RunWriter<std::uint64_t> writer(*sink);
      for (std::uint64_t i = 0; i < 10000; ++i) writer.write(i, 1);
      writer.finish();
    }
    CHECK(folder.files() == 0);
    CHECK(storage.disk_use().now == 0 && storage.disk_use().written > 0);
  }
  RunStorage nowhere(0, folder.path("absent"), FileLife::lasting);
  CHECK_THROWS(FileError, "", nowhere.file_sink(keys, FileLife::lasting));
}

void test_a_copy_is_in_memory_of_our_own() {
  const Folder folder;
  RunStorage storage(std::size_t{1} << 20, folder.path(), FileLife::nameless);
  const Counts counts = some_counts(3000, 37);
  const RunPtr run = std::make_shared<const Run>(test::run_of(counts));
  Work work(2);
  const RunPtr copy = storage.copy(run, keys, work);
  CHECK(copy->in_memory && storage.in_memory() >= copy->bytes && test::counts_of(*copy) == counts);
}

void test_spilling_moves_what_is_in_memory_to_a_file() {
  for (const FileLife life : {FileLife::nameless, FileLife::lasting}) {
    const Folder folder;
    RunStorage storage(std::size_t{1} << 30, folder.path(), life);
    RunStack stack(keys, storage);
    Work work(2);
    Counts expected;
    for (std::uint64_t i = 1; i < 6; ++i) {
      const Counts counts = some_counts(1000 * i, 31 + i);
      for (const auto& [key, count] : counts) expected[key] += count;
      stack.push(*run_in(storage.memory_sink(), counts));
    }
    CHECK(stack.in_memory() > 0);
    stack.spill(storage.life(), work);
    CHECK(stack.in_memory() == 0 && storage.in_memory() == 0 && stack.runs().size() == 1);
    CHECK(folder.files() == (life == FileLife::lasting ? 1 : 0));
    CHECK(sum_of(stack) == expected);
    stack.spill(storage.life(), work);
    CHECK(stack.runs().size() == 1);
    // More in memory is spilled to a second file; both are merged by reading them.
    stack.push(*run_in(storage.memory_sink(), some_counts(63, 5)));
    for (const auto& [key, count] : some_counts(63, 5)) expected[key] += count;
    stack.spill(storage.life(), work);
    CHECK(stack.runs().size() == 2 && sum_of(stack) == expected);
    CHECK(test::counts_of(*stack.merge(work)) == expected);
  }
}

void test_saving_puts_all_into_lasting_files_of_its_own() {
  const Folder folder;
  const Folder elsewhere;
  RunStorage storage(std::size_t{1} << 30, folder.path(), FileLife::lasting);
  RunStorage foreign(0, elsewhere.path(), FileLife::lasting);
  RunStack stack(keys, storage);
  Work work(1);
  const RunPtr own = run_in(storage.file_sink(keys, FileLife::lasting), some_counts(100, 3));
  stack.push({own, run_in(storage.memory_sink(), some_counts(200, 5)),
              run_in(foreign.file_sink(keys, FileLife::lasting), some_counts(300, 7))});
  const Counts expected = sum_of(stack);
  stack.save(work);
  CHECK(sum_of(stack) == expected && stack.runs().size() == 2);
  CHECK(stack.runs()[0] == own);
  for (const RunPtr& run : stack.runs()) CHECK(storage.holds(run->file) && std::filesystem::exists(run->file));
  stack.save(work);
  CHECK(stack.runs().size() == 2);
  storage.keep_only({stack.runs()[0]->file, stack.runs()[1]->file});
  CHECK(folder.files() == 2 && elsewhere.files() == 1);
}

void test_what_questions_merge_has_no_name() {
  const Folder folder;
  RunStorage storage(0, folder.path(), FileLife::lasting);
  RunStack stack(keys, storage);
  Work work(1);
  for (const std::uint64_t step : {3u, 5u}) {
    stack.push(*run_in(storage.file_sink(keys, FileLife::lasting), some_counts(100, step)));
  }
  const std::vector<std::string> saved{stack.runs()[0]->file, stack.runs()[1]->file};
  const Counts expected = sum_of(stack);
  CHECK(test::counts_of(*stack.merge(work)) == expected);
  CHECK(stack.runs().size() == 1 && stack.runs()[0]->file.empty() && stack.in_memory() == 0);
  CHECK(folder.files() == 2);
  for (const std::string& file : saved) CHECK(std::filesystem::exists(file));
  // Eight like runs become a run that may be saved.
  for (std::uint64_t i = 0; i < 8; ++i) {
    stack.push(*run_in(storage.file_sink(keys, FileLife::nameless), some_counts(20, i + 1)));
  }
  CHECK(folder.files() == 2);
  stack.compact(work);
  CHECK(stack.runs().size() == 2 && std::filesystem::exists(stack.runs()[1]->file) && folder.files() == 3);
  stack.save(work);
  storage.keep_only({stack.runs()[0]->file, stack.runs()[1]->file});
  CHECK(folder.files() == 2);
  for (const RunPtr& run : stack.runs()) CHECK(std::filesystem::exists(run->file));
}

void test_a_spill_that_fails_changes_nothing() {
  const Folder folder;
  RunStorage storage(std::size_t{1} << 30, folder.path("absent"), FileLife::lasting);
  RunStack stack(keys, storage);
  stack.push(*run_in(storage.memory_sink(), some_counts(100, 3)));
  stack.push(*run_in(storage.memory_sink(), some_counts(200, 5)));
  const Counts before = sum_of(stack);
  Work work(1);
  CHECK_THROWS(FileError, "", stack.spill(storage.life(), work));
  CHECK_THROWS(FileError, "", stack.save(work));
  CHECK(sum_of(stack) == before && stack.in_memory() > 0);
  std::filesystem::create_directory(folder.path("absent"));
  Work stopped(1, [] { return true; });
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  CHECK_THROWS(Interrupted, "", stack.spill(storage.life(), stopped));
  CHECK(sum_of(stack) == before && std::filesystem::is_empty(folder.path("absent")));
  stack.spill(storage.life(), work);
  CHECK(sum_of(stack) == before && stack.in_memory() == 0);
}

}  // namespace

int main() {
  test_runs_are_in_memory_as_long_as_they_fit();
  test_the_gauge_of_the_disk_goes_up_and_down();
  test_lasting_files_have_names_and_go_when_they_are_not_kept();
  test_a_file_that_fails_leaves_nothing_in_the_books();
  test_a_copy_is_in_memory_of_our_own();
  test_spilling_moves_what_is_in_memory_to_a_file();
  test_saving_puts_all_into_lasting_files_of_its_own();
  test_what_questions_merge_has_no_name();
  test_a_spill_that_fails_changes_nothing();
  return mixlaw::test::finish();
}
