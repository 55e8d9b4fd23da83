#include <cstdlib>
#include <stdexcept>
#include <string>

#include "mixlaw/kernels.hpp"

namespace mixlaw {

extern const Kernels baseline_kernels;
#ifdef MIXLAW_X86_LEVELS
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#endif

namespace {

const Kernels* choose() {
  const std::vector<const Kernels*> here = kernels_here();
  const char* const wanted = std::getenv("MIXLAW_SIMD");
  if (wanted == nullptr || *wanted == 0) return here.back();
  std::string names;
  for (const Kernels* kernels : here) {
    if (std::string(kernels->level) == wanted) return kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->level);
  }
  throw std::invalid_argument("MIXLAW_SIMD is \"" + std::string(wanted) + "\", but this machine has " + names);
}

}  // namespace

std::vector<const Kernels*> kernels_here() {
  std::vector<const Kernels*> here{&baseline_kernels};
#ifdef MIXLAW_X86_LEVELS
  // The compiler's checks include that the system saves the registers.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
    here.push_back(&avx2_kernels);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi2")) {
      here.push_back(&avx512_kernels);
    }
  }
#endif
  return here;
}

const Kernels& kernels() {
  static const Kernels* const chosen = choose();
  return *chosen;
}

}  // namespace mixlaw
