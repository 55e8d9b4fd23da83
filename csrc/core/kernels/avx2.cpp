#define MIXLAW_LEVEL avx2
#include "level.hpp"
