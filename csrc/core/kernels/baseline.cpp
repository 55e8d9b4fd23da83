#define MIXLAW_LEVEL baseline
#include "level.hpp"
