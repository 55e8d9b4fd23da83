#define MIXLAW_LEVEL avx512
#include "level.hpp"
