#include <cstdio>

#include "sagesan/model/configuration.h"
#include "sagesan/support/error.h"

int main(int, char** argv) {
  try {
    std::printf("%s\n", sagesan::read_configuration(argv[1]).family.c_str());
  } catch (const sagesan::InputError& error) {
    std::printf("refused: %s\n", error.what());
  }
}
