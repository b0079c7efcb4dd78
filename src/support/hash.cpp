#include "sagesan/support/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <new>
#include <vector>

#include "sagesan/support/file.h"

namespace sagesan {

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  if (state_->xxh == nullptr) throw std::bad_alloc();
  XXH3_128bits_reset(state_->xxh);
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

void Hasher::add_text(std::string_view text) {
  const uint64_t length = text.size();
  add(std::as_bytes(std::span(&length, 1)));
  add(std::as_bytes(std::span(text)));
}

std::string Hasher::hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string hash_bytes(std::string_view bytes) {
  Hasher hasher;
  hasher.add(std::as_bytes(std::span(bytes)));
  return hasher.hex();
}

std::string hash_file(const std::filesystem::path& path) {
  constexpr size_t kBlock = size_t{1} << 20;
  const InputFile file(path);
  std::vector<std::byte> block(kBlock);
  Hasher hasher;
  for (uint64_t start = 0; start < file.size(); start += kBlock) {
    const std::span part(block.data(), std::min<uint64_t>(kBlock, file.size() - start));
    file.read(start, part);
    hasher.add(part);
  }
  return hasher.hex();
}

}  // namespace sagesan
