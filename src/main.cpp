#include "teeny/cli/app.h"

int main(int argc, char** argv) { return teeny::cli::run(argc, argv); }
