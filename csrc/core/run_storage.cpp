#include "mixlaw/run_storage.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace mixlaw {
namespace {

constexpr char lasting_prefix[] = "run-";

std::uint64_t total_bytes(const std::vector<RunPtr>& runs) {
  std::uint64_t bytes = 0;
  for (const RunPtr& run : runs) bytes += run->bytes;
  return bytes;
}

}  // namespace

RunStorage::RunStorage(std::size_t most_memory, std::string folder, FileLife life)
    : most_memory_(most_memory), folder_(std::move(folder)), life_(life) {}

std::unique_ptr<RunSink> RunStorage::file_sink(const NgramKeys& keys, FileLife life) {
  // Several processes may use one folder for files that lose their names at once.
  const std::string prefix =
      folder_ + "/" + (life_ == FileLife::lasting ? lasting_prefix : "mixlaw-" + std::to_string(getpid()) + "-");
  for (;;) {
    const std::string path = prefix + std::to_string(next_++) + ".mlc";
    try {
      auto sink = std::make_unique<FileSink>(path, keys, life, disk_);
      if (life == FileLife::lasting) files_.push_back(path);
      return sink;
    } catch (const FileError& error) {
      if (error.code().value() != EEXIST) throw;
    }
  }
}

std::unique_ptr<RunSink> RunStorage::sink(std::uint64_t most_bytes, const NgramKeys& keys, FileLife life) {
  if (!limited() || in_memory() + most_bytes <= most_memory_) return memory_sink();
  return file_sink(keys, life);
}

RunPtr RunStorage::merge(const std::vector<RunPtr>& runs, const NgramKeys& keys, FileLife life, Work& work) {
  if (runs.empty()) return std::make_shared<const Run>();
  if (runs.size() == 1) return runs.front();
  const auto to = sink(total_bytes(runs), keys, life);
  return std::make_shared<const Run>(merge_runs(sources_of(runs, keys), keys, *to, work));
}

RunPtr RunStorage::copy(const RunPtr& run, const NgramKeys& keys, Work& work) {
  const auto to = sink(run->bytes, keys, life_);
  return std::make_shared<const Run>(merge_runs(sources_of({run}, keys), keys, *to, work));
}

bool RunStorage::holds(const std::string& path) const {
  return std::find(files_.begin(), files_.end(), path) != files_.end();
}

void RunStorage::enter_file(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) throw FileError(errno, path);
  disk_->add(static_cast<std::uint64_t>(status.st_size));
  files_.push_back(path);
}

void RunStorage::keep_only(const std::vector<std::string>& paths) {
  std::vector<std::string> kept;
  for (const std::string& file : files_) {
    if (std::find(paths.begin(), paths.end(), file) != paths.end()) {
      kept.push_back(file);
      continue;
    }
    struct stat status{};
    if (stat(file.c_str(), &status) == 0 && unlink(file.c_str()) == 0) {
      disk_->remove(static_cast<std::uint64_t>(status.st_size));
    }
  }
  files_ = std::move(kept);
}

}  // namespace mixlaw
