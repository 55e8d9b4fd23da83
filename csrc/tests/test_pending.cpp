#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "check.hpp"
#include "mixlaw/pending.hpp"
#include "mixlaw/tokens.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;
using test::Stream;

// Tokens and borders, once more as they were given.
Stream held(const PendingDocuments& pending) {
  const Documents documents = pending.input().documents;
  Stream stream;
  stream.tokens.resize(documents.tokens.size);
  load_tokens(documents.tokens, 0, stream.tokens.size(), std::uint64_t{1} << 31, stream.tokens.data());
  stream.offsets.assign(documents.offsets, documents.offsets + documents.count + 1);
  check_documents(documents);
  return stream;
}

bool holds(const PendingDocuments& pending, const std::vector<std::uint32_t>& tokens,
           const std::vector<std::int64_t>& offsets) {
  const Stream stream = held(pending);
  return stream.tokens == tokens && stream.offsets == offsets &&
         pending.bytes() == PendingDocuments::bytes_for(tokens.size(), offsets.size() - 1);
}

const Stream five{{1, 2, 3, 4, 5}, {0, 0, 2, 2, 3, 5, 5}};

Input input(std::size_t context = 0) { return {five.documents(), context, nullptr}; }

void test_documents_are_added_without_empty_ones() {
  PendingDocuments pending;
  CHECK(pending.empty() && holds(pending, {}, {0}));
  pending.add(input(), 10);
  CHECK(!pending.empty() && holds(pending, {1, 2, 3, 4, 5}, {0, 2, 3, 5}));
  pending.add(input(), 10);
  CHECK(holds(pending, {1, 2, 3, 4, 5, 1, 2, 3, 4, 5}, {0, 2, 3, 5, 7, 8, 10}));
  pending.add({{{nullptr, 0, TokenType::u8}, five.offsets.data(), 0}, 0, nullptr}, 10);
  CHECK(held(pending).tokens.size() == 10);
}

void test_the_history_of_documents_is_kept() {
  for (std::size_t context = 0; context <= 5; ++context) {
    PendingDocuments pending;
    pending.add(input(), 10);
    pending.add(input(context), 10);
    const Input both = pending.input();
    CHECK(both.documents.count == 6);
    // Documents of the first input have none.
    for (std::size_t d = 0; d < 3; ++d) CHECK(both.history(d) == 0);
    std::size_t d = 3;
    for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 2}, {2, 3}, {3, 5}}) {
      CHECK(both.history(d++) == std::clamp(context, begin, end) - begin);
    }
  }
}

void test_stretches_of_tokens_become_documents() {
  PendingDocuments pending;
  pending.add(five.documents().tokens, 1, 4, 2, 10);
  pending.add(five.documents().tokens, 3, 3, 0, 10);
  pending.add(five.documents().tokens, 4, 5, 0, 10);
  CHECK(holds(pending, {2, 3, 4, 5}, {0, 3, 4}));
  CHECK(pending.input().history(0) == 2 && pending.input().history(1) == 0);
}

void test_what_is_not_committed_can_be_taken_back() {
  PendingDocuments pending;
  pending.add(input(), 10);
  pending.rollback();
  CHECK(pending.empty() && holds(pending, {}, {0}));
  pending.add(five.documents().tokens, 0, 2, 1, 10);
  pending.commit();
  pending.add(input(), 10);
  pending.rollback();
  pending.rollback();
  CHECK(holds(pending, {1, 2}, {0, 2}) && pending.input().history(0) == 1);
  // A bad token at the end of an input.
  CHECK_THROWS(TokenError, "token 5 at position 4", pending.add(input(), 5));
  pending.rollback();
  CHECK(holds(pending, {1, 2}, {0, 2}));
  pending.clear();
  pending.rollback();
  CHECK(pending.empty() && holds(pending, {}, {0}));
}

void test_room_is_kept_and_is_no_content() {
  PendingDocuments pending;
  pending.reserve(1271);
  CHECK(pending.empty() && pending.bytes() == PendingDocuments::bytes_for(0, 0));
  const auto place = [&] { return pending.input().documents.tokens.data; };
  const void* const before = place();
  for (int i = 0; i < 20; ++i) pending.add(input(), 10);
  CHECK(place() == before);
}

}  // namespace

int main() {
  test_documents_are_added_without_empty_ones();
  test_the_history_of_documents_is_kept();
  test_stretches_of_tokens_become_documents();
  test_what_is_not_committed_can_be_taken_back();
  test_room_is_kept_and_is_no_content();
  return mixlaw::test::finish();
}
